"""Replaces dbt's adapter while sqlfluff renders the models: valid SQL for each macro that differs by engine."""

from collections.abc import Callable

SUBSTITUTES: dict[str, Callable[..., str]] = {
    "epoch_micros": "epoch_us({})".format,
    "wait_percentile": "percentile('{}', {})".format,
}


def dispatch(macro: str) -> Callable[..., str]:
    """The substitute for one of the project's dispatched macros."""
    return SUBSTITUTES[macro]


def get_relation(*_names: str) -> None:
    """None, because sqlfluff has no database."""
