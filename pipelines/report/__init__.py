"""The report: one HTML file that needs no server, no network and no other file.

Data flow: published marts → `queries` (SQL files) → `figures`, `agents` (sums for each queue and period; `periods`) →
`html` (the page; its charts, styles and scripts are in assets/) → published/report.html. `dashboard` serves the same
page on loopback.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.errors import CallsError, SettingsError
from pipelines.files import full_path, replace_private
from pipelines.publish import published_folder
from pipelines.publish.reader import open_marts
from pipelines.report.definitions import read_definitions
from pipelines.report.html import read_data, write_page
from pipelines.warehouse import Target

FILE = "report.html"


def make_report(target: Target, *, show_numbers: bool = False, night: str | None = None) -> str:
    """The report as HTML. Raises `NothingPublished` if nothing has been published."""
    with open_marts(target) as query:
        data = read_data(query, read_definitions(query, target), show_numbers=show_numbers)
    return write_page(data, night=night)


def write_report(target: Target, path: Path | None = None, *, show_numbers: bool = False) -> Path:
    """Write the report beside the published copy, or to `path`, in one step: nobody sees half a report.

    Only the user can read the file, because it may hold phone numbers. Raises `NothingPublished`, or `CallsError` if
    the file cannot be written.
    """
    page = make_report(target, show_numbers=show_numbers)
    folder = published_folder(target) if target.engine == "duckdb" else full_path("published")
    path = path or folder / FILE
    try:
        replace_private(path, page)
    except OSError as error:
        raise CallsError(
            f"The report cannot be written to {path} ({error.strerror}). Name another file: calls report --out PATH."
        ) from None
    return path


def load_dashboard() -> Any:
    """The module `dashboard`. Raises `SettingsError` if its extra is not installed."""
    try:
        return import_module("pipelines.report.dashboard")
    except ImportError:
        raise SettingsError(
            "The dashboard needs two more packages: pip install 'call-warehouse[dashboard]'. "
            "calls report writes the same page without them."
        ) from None
