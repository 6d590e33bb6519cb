"""Pages of generated records: nothing lost, nothing bent, and the same whichever way a page is read or cut."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines.time_zones import read_zone
from pipelines.voipcloud.paging import Cursor, next_step
from pipelines.voipcloud.records import split_days
from pipelines.voipcloud.schemas import ENDPOINTS, FIELDS, FLAG, INSTANT, NUMBER, REQUIRED, SCHEMAS, TEXT
from tests.support.wire_records import NOON, NOW, NUMBERS, days_of, in_seconds, parse, parse_or_discard, record, write

# Zone → when its clocks were set back: by an hour, by half an hour, and by two hours around midnight UTC.
SET_BACK = {
    "Europe/Berlin": datetime(2025, 10, 26, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 15, tzinfo=UTC),
    "Antarctica/Troll": datetime(2025, 10, 26, 1, tzinfo=UTC),
}
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine, too
REASON = re.compile(
    r"the record is not an object"
    r"|[a-z_]+ is (missing|not a text|not a whole number from 0 to 2147483647|not 0 or 1|before [a-z_]+)"
    r"|[a-z_]+ is not an ISO 8601 date and time in [A-Za-z_/]+"
    r"|[a-z_]+ holds a NUL character, which Postgres cannot store"
    r"|call_start_at is (not in the list's order, newest first|in the future)"
)


@st.composite
def clean_pages(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], str]:
    """Records as the article has them, newest first, in one style of instants; with the endpoint and time zone."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    zone = draw(st.sampled_from(("UTC", "Australia/Sydney", "America/St_Johns")))
    style = draw(st.sampled_from(("Z", "millis", "offset", "naive")))
    starts = sorted(draw(st.lists(st.integers(0, 200_000), max_size=12)), reverse=True)
    texts = st.one_of(
        st.none(), st.just(""), st.sampled_from(NUMBERS), st.text(st.characters(codec="utf-8"), max_size=9)
    )
    rows = []
    for start in starts:
        row: dict[str, Any] = {}
        at = NOON + timedelta(seconds=start)
        for name, kind in FIELDS[endpoint].items():
            if kind == INSTANT:
                ended = name != "call_start_at" and draw(st.booleans())
                row[name] = None if name != "call_start_at" and not ended else write(at, zone, style)
                at += timedelta(seconds=draw(st.integers(0, 900)))
            elif kind == TEXT:
                row[name] = draw(texts.filter(lambda text: text is None or "\0" not in text))
            else:
                row[name] = draw(st.integers(0, 1 if kind == FLAG else 2**31 - 1))
        row |= {name: "Sales" for name in REQUIRED[endpoint] if row[name] is None}
        rows.append(row | draw(st.sampled_from(({}, {}, {"unique_call_id": "x-1", "tags": [1, None]}))))
    return endpoint, rows, zone


@given(clean_pages())
@settings(PATIENT, max_examples=200)
def test_one_bad_record_changes_no_other(made: tuple[str, list[dict[str, Any]], str]) -> None:
    """A row at the end that is no record changes no other, and costs none of them its own style of reading."""
    endpoint, rows, zone = made
    assume(rows)
    clean = parse(endpoint, rows, zone)
    spoilt = parse(endpoint, [*rows, "no record"], zone)
    assert clean.rejected == []
    assert list(clean.rows) == list(range(len(rows))) == list(spoilt.rows)
    assert clean.table.schema == spoilt.table.schema == SCHEMAS[endpoint]
    assert clean.table.to_pylist() == spoilt.table.to_pylist()
    assert list(clean.seconds) == list(spoilt.seconds)[:-1]
    assert [(bad.row, bad.record) for bad in spoilt.unplaced] == [(len(rows), '"no record"')]
    for wire, typed in zip(rows, clean.table.to_pylist(), strict=True):
        check_lossless(endpoint, wire, typed, zone)
    assert clean.table["call_day"].to_pylist() == days_of(clean)


def check_lossless(endpoint: str, wire: Mapping[str, Any], typed: Mapping[str, Any], zone: str) -> None:
    """Asserts that a typed row says what the wire's record said, no more and no less."""
    for name, kind in FIELDS[endpoint].items():
        value, got = wire.get(name), typed[name]
        if value is None or (value == "" and kind != TEXT):
            assert got is None
        elif kind == INSTANT:
            said = datetime.fromisoformat(value)
            assert got == (
                said if said.tzinfo else said.replace(tzinfo=read_zone(zone), fold=got.astimezone(read_zone(zone)).fold)
            )
        else:
            assert type(got) is {TEXT: str, NUMBER: int, FLAG: bool}[kind]
            assert got == (str(value) if kind == TEXT else int(value))
    unknown = {name: value for name, value in wire.items() if name not in FIELDS[endpoint]}
    assert unknown == ({} if typed["extra"] is None else orjson.loads(typed["extra"]))
    assert typed["call_day"] == typed["call_start_at"].astimezone(UTC).date()
    assert (typed["account"], typed["loaded_at"]) == ("main", NOW)


whole_numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**70), 2**70))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    whole_numbers,
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("", " ", "0", "1", " 35 ", "-1", "1.0", "true", "9" * 19, "9" * 5000, "\0", "null", *NUMBERS)),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
starts = st.sampled_from((None, "", "2026-10-08", "yesterday", 1_760_000_000, "0001-01-01T00:00:00+14:00"))


@st.composite
def wild_pages(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """What orjson makes of any JSON list whose elements look more or less like records, most of them in order."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    rows: list[Any] = []
    for row in range(draw(st.integers(0, 8))):
        if draw(st.integers(0, 9)) == 0:
            rows.append(draw(anything))
            continue
        wire: dict[str, Any] = record(endpoint, (NOON - timedelta(minutes=row)).isoformat())
        for name in draw(st.lists(st.sampled_from([*FIELDS[endpoint], "novelty"]), max_size=2)):
            wire[name] = draw(starts if name == "call_start_at" else anything)
        for name in draw(st.lists(st.sampled_from([*FIELDS[endpoint]]), max_size=1)):
            wire.pop(name, None)
        rows.append(wire)
    parsed: list[Any] = orjson.loads(json.dumps(rows))  # integers beyond 64 bits become floats, as on the wire
    return endpoint, parsed


@given(wild_pages())
@settings(PATIENT, max_examples=500)
def test_every_record_is_typed_without_loss_or_told_of(made: tuple[str, list[Any]]) -> None:
    """Whatever JSON comes, each record is in the table, among the rejected or among the unplaced, once, and its reason
    quotes nothing; the rejected have a start, and the unplaced none that is believed."""
    endpoint, rows = made
    page = parse_or_discard(endpoint, rows, "Europe/Berlin")
    bad_rows = [bad.row for bad in (*page.rejected, *page.unplaced)]
    assert sorted([*page.rows, *bad_rows]) == list(range(len(rows)))
    assert len(page.seconds) == len(page.sort_seconds) == (0 if len(page.unplaced) == len(rows) else len(rows))
    assert list(page.seconds) == sorted(page.seconds, reverse=True)
    for bad in page.rejected:
        assert page.seconds[bad.row] == datetime.fromisoformat(rows[bad.row]["call_start_at"]).timestamp()
    for bad in (*page.rejected, *page.unplaced):
        assert orjson.loads(bad.record) == rows[bad.row]
        assert REASON.fullmatch(bad.reason)
    typed = page.table.to_pylist()
    for row, got in zip(page.rows, typed, strict=True):
        check_lossless(endpoint, untyped(endpoint, rows[row]), got, "Europe/Berlin")
        assert days_of(page)[row] == got["call_day"]


def untyped(endpoint: str, wire: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its lossless mis-typings put right: only what the rules name, so that anything else is a loss."""
    own = dict(wire)
    for name, kind in FIELDS[endpoint].items():
        value = own.get(name)
        if kind in (NUMBER, FLAG) and isinstance(value, str) and re.fullmatch(r"\s*-?\d+\s*", value):
            own[name] = int(value)
        if kind in (NUMBER, FLAG) and value == "":
            own[name] = None
    return own


@given(wild_pages(), st.data())
@settings(PATIENT, max_examples=150)
def test_slices_add_up_to_the_page(made: tuple[str, list[Any]], data: st.DataObject) -> None:
    """A page cut in three anywhere has the same rows, seconds and unreadable records, each at its own place."""
    endpoint, rows = made
    page = parse_or_discard(endpoint, rows, "UTC")
    cuts = sorted(data.draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
    edges = [0, *cuts, len(rows)]
    parts = [page.slice(start, stop) for start, stop in pairwise(edges)]
    assert [second for part in parts for second in part.seconds] == list(page.seconds)
    assert [second for part in parts for second in part.sort_seconds] == list(page.sort_seconds)
    assert [row for part in parts for row in part.table.to_pylist()] == page.table.to_pylist()
    assert [row + start for start, part in zip(edges, parts, strict=False) for row in part.rows] == list(page.rows)
    for kind in ("rejected", "unplaced"):
        found = [(start, bad) for start, part in zip(edges, parts, strict=False) for bad in getattr(part, kind)]
        assert [replace(bad, row=bad.row + start) for start, bad in found] == list(getattr(page, kind))
    for (start, stop), part in zip(pairwise(edges), parts, strict=True):
        assert stop - start == part.table.num_rows + len(part.rejected) + len(part.unplaced)


@given(clean_pages())
@settings(PATIENT, max_examples=100)
def test_days_add_up_to_the_page(made: tuple[str, list[dict[str, Any]], str]) -> None:
    """A page falls into its UTC dates, each once and newest first, with all the rows of each."""
    page = parse(*made)
    parts = list(split_days(page))
    days = [day for day, _ in parts]
    assert days == sorted(set(days), reverse=True)
    assert [row for _, part in parts for row in part.table.to_pylist()] == page.table.to_pylist()
    assert all(set(part.table["call_day"].to_pylist()) == {day} for day, part in parts)
    assert [second for _, part in parts for second in part.seconds] == list(page.seconds)


@dataclass
class Read:
    """What reading a list page by page brought, each row and each record as often as it came."""

    typed: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    days: Counter[tuple[date, str]] = field(default_factory=Counter)


def read_in_pages(
    endpoint: str, rows: list[Any], limit: int, zone: str, move: Callable[[], None] = lambda: None
) -> Read:
    """Reads a list `limit` at a time; after each page it may `move`."""
    place = Cursor(limit)
    read = Read()
    for _ in range(40 * len(rows) + 40):
        page = parse(endpoint, rows[place.offset : place.offset + place.limit], zone)
        step = next_step(place, page.sort_seconds)
        part = page.slice(step.start, step.stop) if page.seconds else page
        read.typed += Counter(repr(row) for row in part.table.to_pylist())
        read.unreadable += Counter(bad.record for bad in (*part.rejected, *part.unplaced))
        read.days += Counter((day, repr(row)) for day, each in split_days(part) for row in each.table.to_pylist())
        if step.cursor is None:
            return read
        place = step.cursor
        move()
    raise AssertionError("reading does not end")


@given(
    zone=st.sampled_from(sorted(SET_BACK)),
    seconds=st.lists(st.integers(-7000, 7000), min_size=1, max_size=50),
    bad=st.dictionaries(st.integers(0, 49), st.sampled_from((None, "call_start_at", "queue_name")), max_size=4),
    limit=st.integers(8, 25),
    naive=st.booleans(),
)
@settings(PATIENT, max_examples=400)
def test_small_pages_and_a_large_one_read_the_same(
    zone: str, seconds: list[int], bad: dict[int, str | None], limit: int, naive: bool
) -> None:
    """Page edges change nothing: not beside records without a start, nor in the hour that comes twice."""
    change = SET_BACK[zone]
    starts = [change + timedelta(seconds=second) for second in sorted(seconds, reverse=True)]
    rows: list[Any] = [
        record("queue_calls", write(at, zone, "naive" if naive else "Z"), callerid=f"+6125550{row:04}")
        for row, at in enumerate(starts)
    ]
    for row, what in bad.items():
        if row < len(rows):
            rows[row] = rows[row] | {what: None} if what else None
    whole = parse_or_discard("queue_calls", rows, zone)
    assume(whole.seconds)
    assume(max(Counter(whole.sort_seconds).values()) + len(bad) < limit - 1)  # a page holds what belongs together
    read = read_in_pages("queue_calls", rows, limit, zone)
    assert read.typed == Counter(repr(row) for row in whole.table.to_pylist())
    assert read.unreadable == Counter(bad.record for bad in (*whole.rejected, *whole.unplaced))
    assert read.days == Counter((row["call_day"], repr(row)) for row in whole.table.to_pylist())


@given(
    size=st.integers(20, 60),
    at=st.integers(0, 59),
    start=st.sampled_from(("2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "2026-10-08T11:59:30Z")),
    limit=st.integers(5, 20),
)
@settings(PATIENT, max_examples=300)
def test_a_stray_record_at_a_page_edge_hides_no_other(size: int, at: int, start: str, limit: int) -> None:
    """One start far too old or too new, wherever a page cuts the list, is read once, and so is every other record."""
    rows = in_seconds(*range(0, -2 * size, -2))
    rows[min(at, size - 1)]["call_start_at"] = start
    read = read_in_pages("queue_calls", rows, limit, "UTC")
    assert (max(read.typed.values()), max(read.unreadable.values(), default=1)) == (1, 1)
    assert len(read.typed) + len(read.unreadable) == size


@given(
    zone=st.sampled_from(sorted(SET_BACK)),
    seconds=st.lists(st.integers(-9000, 9000), min_size=1, max_size=60),
    limit=st.integers(12, 30),
    dice=st.randoms(use_true_random=False),
)
@settings(PATIENT, max_examples=400)
def test_a_list_that_moves_in_the_hour_that_comes_twice(
    zone: str, seconds: list[int], limit: int, dice: random.Random
) -> None:
    """Calls that arrive and vanish between the pages of a list without offsets cost and double none of the others."""
    starts = [SET_BACK[zone] + timedelta(seconds=second) for second in sorted(seconds, reverse=True)]
    rows = [naive_call(zone, at, number) for number, at in enumerate(starts)]
    assume(max(Counter(parse("queue_calls", rows, zone).sort_seconds).values()) < limit - 1)
    stay, gone = {row["queue_name"] for row in rows}, set()

    def move() -> None:
        for _ in range(dice.randrange(3)):
            rows.insert(0, naive_call(zone, SET_BACK[zone] + timedelta(hours=3), dice.randrange(10**3, 10**8)))
        for _ in range(dice.randrange(3)):
            if len(rows) > 1:
                gone.add(rows.pop(dice.randrange(len(rows)))["queue_name"])

    read = read_in_pages("queue_calls", rows, limit, zone, move)
    found = Counter(re.findall(r"Queue [0-9]+", " ".join(read.typed.elements())))
    assert max(found.values()) == 1
    assert found.keys() >= stay - gone
    assert not read.unreadable


def naive_call(zone: str, at: datetime, number: int) -> dict[str, Any]:
    """A call of a queue of its own, whose start has no offset."""
    return record("queue_calls", write(at, zone, "naive"), queue_name=f"Queue {number}")
