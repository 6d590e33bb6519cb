"""Stands in for dbt's adapter while sqlfluff renders the models: text of the right shape for what differs by engine."""

from collections.abc import Callable

STAND_INS: dict[str, Callable[..., str]] = {
    "epoch_micros": "epoch_us({})".format,
    "wait_percentile": "percentile('{}', {})".format,
}


def dispatch(macro: str) -> Callable[..., str]:
    """The stand-in for one of the project's dispatched macros."""
    return STAND_INS[macro]


def get_relation(*_names: str) -> None:
    """No relation: sqlfluff has no database."""
