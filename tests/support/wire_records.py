"""Wire records for tests: sound ones of every endpoint, and the page that is made of them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from hypothesis import reject
from msgspec import Raw

from pipelines.errors import UnexpectedPayload
from pipelines.time_zones import read_zone
from pipelines.voipcloud.records import Page, parse_page, split_days
from pipelines.voipcloud.schemas import FIELDS, FLAG, INSTANT, NUMBER, TEXT

NOW = datetime(2026, 10, 9, 12, tzinfo=UTC)
NOON = datetime(2026, 10, 8, 12, tzinfo=UTC)
NUMBERS = ("+61491570006", "+6125550100", "+442079460123", "+15550100")


def parse(endpoint: str, records: Sequence[Any], timezone: str = "UTC") -> Page:
    """One page of the account `main`, of records as the wire's JSON would have them, or of JSON texts."""
    texts = [Raw(record if isinstance(record, bytes) else orjson.dumps(record)) for record in records]
    return parse_page(endpoint, texts, account="main", timezone=timezone, loaded_at=NOW)


def parse_or_discard(endpoint: str, records: Sequence[Any], timezone: str) -> Page:
    """The page, where it is not refused whole: that has tests of its own."""
    try:
        return parse(endpoint, records, timezone)
    except UnexpectedPayload:
        reject()


def record(endpoint: str, start: str = "2026-10-08T12:00:00Z", **fields: Any) -> dict[str, Any]:
    """A sound record of an endpoint, with fields to put in place of its own."""
    own: dict[str, Any] = {"call_start_at": start}
    for name, kind in FIELDS[endpoint].items():
        if kind != INSTANT:
            own[name] = {TEXT: "Sales", NUMBER: 35, FLAG: 1}[kind]
    return own | fields


def in_seconds(*seconds: int, endpoint: str = "queue_calls") -> list[dict[str, Any]]:
    """Sound records that start so many seconds after noon, each by its own caller."""
    starts = [(NOON + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ") for second in seconds]
    return [record(endpoint, start, callerid=f"+6125550{row:04}") for row, start in enumerate(starts)]


def write(at: datetime, zone: str, style: str) -> str:
    """An instant in one of the styles that PBXs write."""
    if style in ("Z", "millis"):
        return at.strftime("%Y-%m-%dT%H:%M:%S") + (".250Z" if style == "millis" else "Z")
    wall = at.astimezone(read_zone(zone))
    return wall.isoformat() if style == "offset" else wall.replace(tzinfo=None).isoformat()


def days_of(page: Page) -> list[date]:
    """Each wire row's UTC date, as the page is split by."""
    return [day for day, part in split_days(page) for _ in part.seconds]
