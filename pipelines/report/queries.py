"""Runs queries/*.sql on the marts, for all periods and all scopes (queues, accounts, total) at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template

from pipelines.publish.reader import Query, Row
from pipelines.report.periods import Span

FOLDER = Path(__file__).parent / "queries"
SCOPE = ("account", "queue_kind", "queue_name")
TOTAL = "*"  # the key of all accounts together


@dataclass(frozen=True)
class Marts:
    """Runs queries by scope. `has_total`: there are several accounts, so the total is a scope too."""

    query: Query
    has_total: bool

    def ask(self, name: str, *, sums: tuple[str, ...] = (), by: tuple[str, ...] = (), **values: object) -> list[Row]:
        """The rows of queries/`name`.sql: sums of the columns `sums`, per scope and per value of the columns `by`."""
        scopes = [SCOPE, SCOPE[:1], *([()] if self.has_total else [])]
        sets = ", ".join(f"({', '.join((*by, *columns))})" for columns in scopes)
        added = ",\n    ".join(f"cast(sum({measure}) as bigint) as {measure}" for measure in sums)
        return ask(self.query, name, scopes=sets, sums=added, **values)


def ask(query: Query, name: str, **values: object) -> list[Row]:
    """The rows of queries/`name`.sql."""
    return query(Template((FOLDER / f"{name}.sql").read_text(encoding="utf-8")).substitute(values))


def list_spans(spans: Mapping[str, Span], seen_until: Mapping[str, datetime]) -> str:
    """Periods as SQL values; the keys of both mappings are the periods' keys."""
    return ", ".join(
        f"('{key}', date '{span.first}', date '{span.last}', cast('{seen_until[key]}' as timestamp with time zone))"
        for key, span in spans.items()
    )


def scope_key(row: Row) -> str:
    """The key of the queue, account or total that a row belongs to."""
    return "/".join(filter(None, (row[column] for column in SCOPE))) or TOTAL
