"""What every test may use, and the order in which files are run."""

import pytest

from tests.support.site import make_site

__all__ = ["make_site"]

# Files that take a minute or more. First, so that not one worker is left with the last of them and the other idle.
LONG = (
    "test_marts_truth",
    "test_killed",
    "test_nightly_job",
    "test_side_by_side",
    "test_postgres_nights",
    "test_models",
    "test_models_reloads",
    "test_readers",
    "test_bad_answers",
    "test_interrupted",
    "test_readme",
    "test_list",
    "test_dialling",
    "test_load_waiting",
    "test_secrets",
    "test_report_nights",
    "test_report",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first."""
    items.sort(key=lambda item: item.path.stem not in LONG)
