"""What every test may use, and the order in which files are run."""

import gc

import pytest

from tests.support.site import make_site

__all__ = ["make_site"]

# dbt and dlt keep many objects for long: looking through them as often as by default takes a seventh of their time.
gc.set_threshold(50_000, 20, 50)

# Files that take longest, first, so that not one worker is left with the last of them and the others idle.
LONG = (
    "test_marts_truth",
    "test_side_by_side",
    "test_postgres_nights",
    "test_nightly_job",
    "test_load_truth",
    "test_interrupted",
    "test_models",
    "test_killed",
    "test_models_reloads",
    "test_bad_answers",
    "test_list",
    "test_dialling",
    "test_source",
    "test_readers",
    "test_load_waiting",
    "test_load_days",
    "test_load_requests",
    "test_load_rejects",
    "test_command_line",
    "test_secrets",
    "test_readme",
)
PLACES = {name: place for place, name in enumerate(LONG)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first."""
    items.sort(key=lambda item: PLACES.get(item.path.stem, len(LONG)))
