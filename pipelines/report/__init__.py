"""The report: one HTML file that needs no server, no network and no other file.

Data flow: published marts → `marts` (a connection) → `figures` (what the database adds up, for each queue and period)
→ `page` (HTML, styles, scripts, all inlined) → published/report.html. `dashboard` serves the same page on loopback.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.errors import CallsError, SettingsError
from pipelines.files import full_path, replace_private
from pipelines.publish import published_folder
from pipelines.publish.reader import open_marts
from pipelines.report.definitions import read_definitions
from pipelines.warehouse import Target

FILE = "report.html"


def make_report(target: Target, *, show_numbers: bool = False, night: str | None = None) -> str:
    """The report as HTML. Raises `NothingPublished` where nothing is published."""
    from pipelines.report.html import read_data, write_page  # noqa: PLC0415 -- half a second, for this command only

    with open_marts(target) as query:
        data = read_data(query, read_definitions(query, target), show_numbers=show_numbers)
    return write_page(data, night=night)


def write_report(target: Target, path: Path | None = None, *, show_numbers: bool = False) -> Path:
    """Writes the report beside the published copy, or to `path`; a reader sees the old one or the new, never half.

    Only the user may read it, as it may hold numbers. Raises `NothingPublished`, or `CallsError` where it cannot go.
    """
    page = make_report(target, show_numbers=show_numbers)
    path = path or _beside(target)
    try:
        replace_private(path, page)
    except OSError as error:
        raise CallsError(
            f"The report cannot be written to {path} ({error.strerror}). Give another place: calls report --out PATH."
        ) from None
    return path


def load_dashboard() -> Any:
    """The module `dashboard`, which needs an extra. Raises `SettingsError` where that is not installed."""
    try:
        return import_module("pipelines.report.dashboard")
    except ImportError:
        raise SettingsError(
            "The dashboard needs two further packages: pip install 'call-warehouse[dashboard]' brings them. "
            "calls report writes the same page without them."
        ) from None


def _beside(target: Target) -> Path:
    folder = published_folder(target) if target.engine == "duckdb" else full_path("published")
    return folder / FILE
