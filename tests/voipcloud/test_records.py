"""Wire records to typed rows, case by case: what is taken, what is rejected and why, and where it stands."""

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from pipelines.errors import UnexpectedPayload
from pipelines.voipcloud.records import (
    ALL_REJECTED_MIN,
    Page,
    hash_record,
    split_days,
)
from pipelines.voipcloud.schemas import ENDPOINTS, FIELDS, REQUIRED
from tests.support.wire_records import NOON, NUMBERS, days_of, in_seconds, parse, record

DURATIONS = ("call_duration", "conversation_duration")
WHOLE = f"not a whole number from 0 to {2**31 - 1}"


def seconds_after_noon(page: Page) -> list[int]:
    """The page's seconds, counted from noon."""
    return [second - int(NOON.timestamp()) for second in page.seconds]


taken = [
    ("callerid", 61255500100, "61255500100"),
    ("callerid", "", ""),
    ("callerid", None, None),
    ("callerid", "Zoë, 東京 🎧", "Zoë, 東京 🎧"),
    ("answered_by_user_name", -5, "-5"),
    ("call_answered_at", "", None),
    ("call_finished_at", None, None),
]
refused = [
    ("callerid", 61255500100.0, "callerid is not a text"),
    ("callerid", True, "callerid is not a text"),
    ("callerid", ["+6125550100"], "callerid is not a text"),
    ("callerid", {"number": "+6125550100"}, "callerid is not a text"),
    ("callerid", "+6125550100\0", "callerid holds a NUL character, which Postgres cannot store"),
    ("queue_name", None, "queue_name is missing"),
    ("call_start_at", None, "call_start_at is missing"),
    ("call_start_at", "", "call_start_at is missing"),
    ("call_start_at", 1_760_000_000, "call_start_at is not a text"),
    ("call_start_at", "2026-10-08", "call_start_at is not an ISO 8601 date and time in UTC"),
    ("call_answered_at", "soon", "call_answered_at is not an ISO 8601 date and time in UTC"),
    ("call_answered_at", "9999-12-31T23:59:59-05:00", "call_answered_at is not an ISO 8601 date and time in UTC"),
    ("call_finished_at", False, "call_finished_at is not a text"),
    ("call_finished_at", "2026-10-08T11:59:59Z", "call_finished_at is before call_start_at"),
    ("call_answered_at", "2026-10-08T11:59:59Z", "call_answered_at is before call_start_at"),
]
user_taken = [
    ("call_duration", "35", 35),
    ("call_duration", " 35 ", 35),
    ("call_duration", 35.0, 35),
    ("call_duration", "035", 35),
    ("call_duration", "", None),
    ("call_duration", None, None),
    ("call_duration", 2**31 - 1, 2**31 - 1),
    ("conversation_duration", "0", 0),
    ("is_inbound", 0, False),
    ("is_inbound", "1", True),
    ("is_inbound", True, True),
    ("is_inbound", 1.0, True),
    ("user_name", 7, "7"),
]
user_refused = [
    ("call_duration", 35.5, f"call_duration is {WHOLE}"),
    ("call_duration", "35.0", f"call_duration is {WHOLE}"),
    ("call_duration", "null", f"call_duration is {WHOLE}"),
    ("call_duration", " ", f"call_duration is {WHOLE}"),
    ("call_duration", "35.5", f"call_duration is {WHOLE}"),
    ("call_duration", "half a minute", f"call_duration is {WHOLE}"),
    ("call_duration", True, f"call_duration is {WHOLE}"),
    ("call_duration", [35], f"call_duration is {WHOLE}"),
    ("call_duration", 2**63, f"call_duration is {WHOLE}"),
    ("call_duration", 1e300, f"call_duration is {WHOLE}"),
    ("call_duration", "9" * 5000, f"call_duration is {WHOLE}"),
    ("call_duration", "٣٥", f"call_duration is {WHOLE}"),
    ("call_duration", -1, f"call_duration is {WHOLE}"),
    ("is_inbound", None, "is_inbound is missing"),
    ("is_inbound", "", "is_inbound is missing"),
    ("is_inbound", 2, "is_inbound is not 0 or 1"),
    ("is_inbound", 0.5, "is_inbound is not 0 or 1"),
    ("is_inbound", 2**63, "is_inbound is not 0 or 1"),
    ("is_inbound", "yes", "is_inbound is not 0 or 1"),
]


def by_endpoint(queue: list[Any], user: list[Any]) -> list[Any]:
    """The cases of both kinds of record, each with its endpoint."""
    return [("queue_calls", *case) for case in queue] + [("user_calls", *case) for case in user]


@pytest.mark.parametrize(("endpoint", "name", "value", "typed"), by_endpoint(taken, user_taken))
def test_lossless_mistypings_are_taken(endpoint: str, name: str, value: Any, typed: Any) -> None:
    """A value typed wrongly without loss is taken, alone on its page and among other records."""
    sound = in_seconds(1, endpoint=endpoint)
    for rows in ([record(endpoint, **{name: value})], [*sound, record(endpoint, **{name: value})]):
        page = parse(endpoint, rows)
        assert page.rejected == []
        got = page.table[name][-1].as_py()
        assert (got, type(got)) == (typed, type(typed))


@pytest.mark.parametrize(("endpoint", "name", "value", "reason"), by_endpoint(refused, user_refused))
def test_what_cannot_be_taken_is_rejected_whole(endpoint: str, name: str, value: Any, reason: str) -> None:
    """A lossy or impossible value rejects its record, kept as JSON with the reason; the others are read."""
    bad = record(endpoint, **{name: value})
    page = parse(endpoint, [*in_seconds(1, endpoint=endpoint), bad])
    assert list(page.rows) == [0]
    (rejected,) = page.unplaced if name == "call_start_at" else page.rejected
    assert [*page.rejected, *page.unplaced] == [rejected]
    assert (rejected.row, rejected.reason) == (1, reason)
    assert orjson.loads(rejected.record) == bad


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_unknown_and_absent_fields(endpoint: str) -> None:
    """What the article does not know is kept as JSON; a field that is not required may be absent."""
    least = {name: value for name, value in record(endpoint).items() if name in REQUIRED[endpoint]}
    page = parse(endpoint, [record(endpoint, unique_call_id="a-1", tags=["x", {"é": None}]), least])
    assert page.rejected == []
    assert [extra and orjson.loads(extra) for extra in page.table["extra"].to_pylist()] == [
        {"unique_call_id": "a-1", "tags": ["x", {"é": None}]},
        None,
    ]
    absent = page.table.to_pylist()[1]
    assert {name for name, value in absent.items() if value is None} == {*FIELDS[endpoint], "extra"} - {*least}


def test_half_a_surrogate_spoils_one_record() -> None:
    """A text that is no Unicode costs its own record, kept as it was sent, and no other on the page."""
    sound = orjson.dumps(record("queue_calls"))
    half = sound.replace(b'"Sales"', b'"\\ud800"', 1)
    page = parse("queue_calls", [sound, half, sound])
    assert [(bad.row, bad.record.encode(), bad.reason) for bad in page.unplaced] == [
        (1, half, "the record is not JSON that can be read")
    ]
    assert page.table.num_rows == 2


@pytest.mark.parametrize("depth", [200, 1000])
def test_deep_nesting_stops_nothing(depth: int) -> None:
    """A field nested deeper than JSON can be written loses that field's text and not the record."""
    deep = b'{"novelty":' + b"[" * depth + b"]" * depth + b","
    sound, bad = orjson.dumps(record("queue_calls")), orjson.dumps(record("queue_calls", queue_name=None))
    page = parse("queue_calls", [deep + sound[1:], deep + bad[1:]])
    assert page.rejected[0].record.encode() == deep + bad[1:]
    assert (list(page.rows), [bad.row for bad in page.rejected]) == ([0], [1])
    kept = orjson.loads(page.table["extra"][0].as_py())
    assert kept == ({"novelty": orjson.loads(deep[11:-1])} if depth == 200 else "nested too deep to be kept")


def test_records_without_a_start_belong_to_no_day() -> None:
    """A record without a start is unplaced, in the row it stood in; that row borrows the second of the next that
    has one, or at the bottom of the one above."""
    rows: list[Any] = [
        None,
        *in_seconds(50),
        7,
        {},
        *in_seconds(40, 30),
        record("queue_calls", "?"),
        *in_seconds(-43_201),
        [],
    ]
    page = parse("queue_calls", rows)
    assert seconds_after_noon(page) == [50, 50, 40, 40, 40, 30, -43_201, -43_201, -43_201]
    assert [bad.row for bad in page.unplaced] == [0, 2, 3, 6, 8]
    assert [orjson.loads(bad.record) for bad in page.unplaced] == [rows[row] for row in (0, 2, 3, 6, 8)]
    assert page.rejected == []
    assert days_of(page)[-4:] == [date(2026, 10, 8), *[date(2026, 10, 7)] * 3]


def test_a_page_without_a_start_has_no_seconds() -> None:
    """Where no record has a start, there is no place in the list to tell: all are unplaced."""
    page = parse("queue_calls", [{}, None, record("queue_calls", "soon")])
    assert (list(page.seconds), list(page.sort_seconds), page.rejected) == ([], [], [])
    assert [(bad.row, bad.reason) for bad in page.unplaced] == [
        (0, "queue_name is missing"),
        (1, "the record is not an object"),
        (2, "call_start_at is not an ISO 8601 date and time in UTC"),
    ]
    assert list(split_days(page)) == []


def test_a_start_in_the_future_tells_no_place() -> None:
    """A call of more than two days from now is unplaced, and one that is longer than any is rejected."""
    rows: list[Any] = [record("queue_calls", start) for start in ("2038-01-19T03:14:07Z", "2026-10-11T12:00:01Z")]
    page = parse("queue_calls", [*rows, record("queue_calls", "2026-10-11T12:00:00Z"), *in_seconds(0)])
    assert page.rejected == []
    assert [(bad.row, bad.reason) for bad in page.unplaced] == [
        (row, "call_start_at is in the future") for row in (0, 1)
    ]
    assert seconds_after_noon(page) == [259_200, 259_200, 259_200, 0]
    calls = [record("user_calls") | {name: seconds} for name in DURATIONS for seconds in (2**31, 2**31 - 1)]
    assert [(bad.row, bad.reason) for bad in parse("user_calls", calls).rejected] == [
        (row, f"{name} is {WHOLE}") for row, name in zip((0, 2), DURATIONS, strict=True)
    ]


def test_days_part_at_midnight() -> None:
    """The second of midnight is the new day's, and a day is one part of the page."""
    page = parse("queue_calls", in_seconds(43_201, 43_200, 43_200, 43_199))
    assert [(day, part.table.num_rows) for day, part in split_days(page)] == [
        (date(2026, 10, 9), 3),
        (date(2026, 10, 8), 1),
    ]


def test_a_rejected_record_keeps_the_place_its_start_tells() -> None:
    """A record rejected for another field, whatever is wrong with it, stands at its own second."""
    for wrong in ({"queue_name": None}, {"callerid": True}, {"call_finished_at": "later"}):
        rows = in_seconds(50, 40, 30)
        rows[1] |= wrong
        page = parse("queue_calls", rows)
        assert seconds_after_noon(page) == [50, 40, 30]
        assert [bad.row for bad in page.rejected] == [1]


def test_a_record_out_of_place_belongs_to_no_day() -> None:
    """One start that breaks the order is unplaced; two of three are refused."""
    page = parse("queue_calls", in_seconds(50, 99_000, 40, 30))
    assert page.rejected == []
    assert [(bad.row, bad.reason) for bad in page.unplaced] == [
        (1, "call_start_at is not in the list's order, newest first")
    ]
    assert seconds_after_noon(page) == [50, 40, 40, 30]
    with pytest.raises(UnexpectedPayload, match="2 of 3 records are not in order"):
        parse("queue_calls", in_seconds(10, 20, 30))


def test_a_page_without_one_readable_record_is_refused() -> None:
    """Records of another API stop the load with a reason that quotes nothing; a few bad ones do not."""
    strangers = [{"start": "2026-10-08T12:00:00Z", "from": NUMBERS[0]}] * ALL_REJECTED_MIN
    with pytest.raises(UnexpectedPayload, match=r"None of the 10 records .* (call_start_at|queue_name) is missing"):
        parse("queue_calls", strangers)
    assert len(parse("queue_calls", strangers[1:]).unplaced) == ALL_REJECTED_MIN - 1
    nameless = [record("queue_calls", queue_name=None)] * ALL_REJECTED_MIN
    with pytest.raises(UnexpectedPayload, match=r"None of the 10 records .* queue_name is missing"):
        parse("queue_calls", nameless)
    assert len(parse("queue_calls", nameless[1:]).rejected) == ALL_REJECTED_MIN - 1
    assert parse("queue_calls", []).table.num_rows == 0


def test_records_alike() -> None:
    """Records alike in all but the order of their fields have one hash; a text that is no JSON is hashed as it is."""
    wire: list[Any] = [{"a": 1, "b": None}, {"b": None, "a": 1}, {"a": 2}, b'{"a":"\\ud800"}', b'{"a":"\\ud801"}']
    hashes = [hash_record(bad.record) for bad in parse("queue_calls", wire).unplaced]
    assert hashes[0] == hashes[1] == hashlib.sha256(b'{"a":1,"b":null}').hexdigest()
    assert len(set(hashes)) == 4
    deep = "[" * 300 + "]" * 300  # orjson reads 1024 levels and writes 254
    assert hash_record(deep) == hashlib.sha256(deep.encode()).hexdigest()


def test_a_call_over_the_change_of_the_clocks() -> None:
    """A naive call that starts 02:59:31 on the first pass and ends 02:00:02 on the second lasts 31 seconds."""
    start, end = "2025-10-26T02:59:31", "2025-10-26T02:00:02"
    call = record("user_calls", start, call_finished_at=end, call_duration=31)
    visit = record("queue_calls", start, call_answered_at="2025-10-26T02:59:40", call_finished_at=end)
    for endpoint, row in (("user_calls", call), ("queue_calls", visit)):
        page = parse(endpoint, [row], "Europe/Berlin")
        (typed,) = page.table.to_pylist()
        assert typed["call_start_at"] == datetime(2025, 10, 26, 0, 59, 31, tzinfo=UTC)
        assert typed["call_finished_at"] == datetime(2025, 10, 26, 1, 0, 2, tzinfo=UTC)


def test_days_that_take_turns() -> None:
    """Where midnight lies in the hours that come twice and a list contradicts its calls' durations, each call still
    stands in the day of its own reading."""
    calls = (("01:30:00", 4 * 3600), ("01:20:00", 7800), ("01:10:00", 15_600))  # all until 03:30
    rows = [
        record("user_calls", f"2025-10-26T{start}", call_finished_at="2025-10-26T03:30:00", call_duration=seconds)
        for start, seconds in calls
    ]
    page = parse("user_calls", rows, "Antarctica/Troll")  # two hours back, at 01:00 UTC
    assert [str(at) for at in page.table["call_start_at"].to_pylist()] == [
        "2025-10-25 23:30:00+00:00", "2025-10-26 01:20:00+00:00", "2025-10-25 23:10:00+00:00",
    ]  # fmt: skip
    assert set(page.sort_seconds) == {int(datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp())}
    parts = list(split_days(page))
    assert [day for day, _ in parts] == page.table["call_day"].to_pylist()
    assert [row for _, part in parts for row in part.table.to_pylist()] == page.table.to_pylist()
