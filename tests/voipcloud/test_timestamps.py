"""Instants of every style, in zones whose clocks change by an hour, by half an hour, and never."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.voipcloud.records.timestamps import START, Instants, parse_columns, parse_each

ANSWERED, FINISHED = "call_answered_at", "call_finished_at"
# Zone → the instants at which its clocks are set back and forward, as the tz database has them.
CHANGES = {
    "Australia/Sydney": ("2026-04-04T16:00:00Z", "2026-10-03T16:00:00Z"),
    "Europe/Berlin": ("2026-10-25T01:00:00Z", "2026-03-29T01:00:00Z"),
    "America/St_Johns": ("2026-11-01T04:30:00Z", "2026-03-08T05:30:00Z"),
    "Australia/Lord_Howe": ("2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"),
}
STEADY = ("UTC", "Asia/Kolkata")
zones = st.sampled_from((*CHANGES, *STEADY))
offsets = st.lists(st.integers(-3 * 3600, 3 * 3600), min_size=1, max_size=30)  # seconds from a change


def local(instant: datetime, zone: str) -> str:
    """The instant as a PBX without offsets writes it."""
    return instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")


def both(texts: dict[str, list[str | None]], zone: str, durations: list[int] | None = None) -> Instants:
    """What the two ways of reading give, which must be the same."""
    seconds = None if durations is None else pa.array(durations, pa.int64())
    fast = parse_columns({name: pa.array(column, pa.string()) for name, column in texts.items()}, zone, seconds)
    each, unreadable = parse_each(texts, zone, seconds)
    assert not unreadable
    assert {name: column.to_pylist() for name, column in each.columns.items()} == {
        name: column.to_pylist() for name, column in fast.columns.items()
    }
    assert each.twice == fast.twice
    return fast


def read_one(text: str, zone: str) -> datetime | None:
    """A text read by itself; None where it is refused."""
    read, unreadable = parse_each({START: [text]}, zone, None)
    found: datetime | None = read.columns[START][0].as_py()
    assert (found is None) == bool(unreadable)
    return found


def is_refused(texts: Sequence[str | None], zone: str) -> bool:
    """Whether the column cannot be read as a whole."""
    try:
        parse_columns({START: pa.array(texts, pa.string())}, zone, None)
    except ValueError:
        return True
    return False


def is_told_by_order(instants: Sequence[datetime], zone: str) -> bool:
    """Whether a newest-first list of local times tells on which side of the change each call is.

    It does where nothing starts on the first pass through the hour that comes twice, or where the newest start of
    the first pass has a later local time than the oldest start of the second pass: there the times jump up.
    """
    set_back = datetime.fromisoformat(CHANGES[zone][0])
    first = [at for at in instants if at < set_back and is_doubled(at, zone)]
    second = [at for at in instants if at >= set_back and is_doubled(at, zone)]
    return not first or bool(second and local(first[0], zone) > local(second[-1], zone))


def is_doubled(at: datetime, zone: str) -> bool:
    """Whether the local time of this instant comes twice."""
    wall = at.astimezone(ZoneInfo(zone))
    return wall.replace(fold=0).utcoffset() != wall.replace(fold=1).utcoffset()


def an_hour_late(at: datetime, zone: str) -> datetime:
    """The same local time on the second pass: an hour later, or half an hour where the clocks change by that."""
    return at.astimezone(ZoneInfo(zone)).replace(fold=1).astimezone(UTC)


@given(zone=st.sampled_from(sorted(CHANGES)), which=st.sampled_from((0, 1)), seconds=offsets)
@settings(max_examples=600, deadline=None)
def test_local_times_around_a_change_are_read_back(zone: str, which: int, seconds: list[int]) -> None:
    """Around both changes a list of local times is read back exactly whenever its order tells the two passes apart.

    Where it does not, the calls of the first pass are read as of the second, all of them, and nothing else is wrong.
    """
    change = datetime.fromisoformat(CHANGES[zone][which])
    truth = [change + timedelta(seconds=at) for at in sorted(seconds, reverse=True)]
    read = both({START: [local(at, zone) for at in truth]}, zone)
    found = read.columns[START].to_pylist()
    if which == 1 or is_told_by_order(truth, zone):
        assert found == truth
    else:
        assert found == [an_hour_late(at, zone) if is_doubled(at, zone) else at for at in truth]
    assert all(above >= below for above, below in pairwise(found))
    doubled = [row for row, at in enumerate(truth) if is_doubled(at, zone)]
    assert read.twice == dict.fromkeys(doubled, int(change.timestamp()))


@given(
    zone=zones,
    seconds=offsets,
    style=st.sampled_from(("Z", "millis", "offset", "compact offset", "spaced offset")),
)
@settings(deadline=None)
def test_instants_with_an_offset_are_exact(zone: str, seconds: list[int], style: str) -> None:
    """`Z`, milliseconds, +11:00, +1100 and a space for the `T`: each instant is what the text says, in any order."""
    change = datetime.fromisoformat(CHANGES.get(zone, CHANGES["Europe/Berlin"])[0])
    truth = [change + timedelta(seconds=at) for at in seconds]
    texts: list[str | None] = [write(at, zone, style) for at in truth]
    read = both({START: texts}, "America/St_Johns")
    assert read.columns[START].to_pylist() == truth
    assert not read.twice


def write(at: datetime, zone: str, style: str) -> str:
    """The instant in a style that leaves nothing open."""
    if style == "Z":
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if style == "millis":
        return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    wall = at.astimezone(ZoneInfo(zone))
    if style == "compact offset":
        return wall.strftime("%Y-%m-%dT%H:%M:%S%z")
    return wall.isoformat(sep=" " if style == "spaced offset" else "T")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-10-09T10:20:30Z", "2026-10-09T10:20:30"),
        ("2026-10-09T10:20:30.123Z", "2026-10-09T10:20:30.123"),
        ("2026-10-09T10:20:30.123456+00:00", "2026-10-09T10:20:30.123456"),
        ("2026-10-09T10:20:30.5+10:00", "2026-10-09T00:20:30.5"),
        ("2026-10-09T10:20:30+1000", "2026-10-09T00:20:30"),
        ("2026-10-09 10:20:30+10", "2026-10-09T00:20:30"),
        ("2026-10-09T10:20:30-03:30", "2026-10-09T13:50:30"),
        ("2026-10-09 10:20:30-0330", "2026-10-09T13:50:30"),
        ("2026-10-09T10:20Z", "2026-10-09T10:20:00"),
        ("2026-10-09T10:20:30-00:00", "2026-10-09T10:20:30"),
        ("2026-10-09 10:20:30", "2026-10-09T10:20:30"),
        ("2026-10-09T10:20:30.25", "2026-10-09T10:20:30.25"),
        ("2026-10-09T10:20", "2026-10-09T10:20:00"),
        ("2199-12-31T23:59:59Z", "2199-12-31T23:59:59"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00"),
    ],
)
def test_styles(text: str, instant: str) -> None:
    """Each style of ISO 8601 that a PBX may write is read, both ways, as the instant it names."""
    assert both({START: [text]}, "UTC").columns[START].to_pylist() == [datetime.fromisoformat(instant + "+00:00")]


GARBAGE = [
    "", " ", "yesterday", "1760005230", "\N{ARABIC-INDIC DIGIT TWO}026-10-09T10:20:30", "2026-10-09T10:20:30 ",
    "2026-10-09", "20261009T102030", "2026-10-09t10:20:30", "2026-13-09T10:20:30", "2026-02-29T10:20:30Z",
    "2026-10-09T24:00:00", "2026-10-09T10:20:60Z", "2026-10-09T10:20:30+25:00", "0000-00-00 00:00:00",
    "0001-01-01T00:00:00", "0001-01-01T00:00:00+10:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59",
    "9999-12-31T23:59:59-05:00",
]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("zone", ["America/St_Johns", "Australia/Sydney"])
def test_what_is_no_instant_is_refused(text: str, zone: str) -> None:
    """Garbage, dates alone and placeholder years are refused both ways, for a reason that does not quote them."""
    assert is_refused([text], zone)
    read, unreadable = parse_each({START: [text]}, zone, None)
    assert read.columns[START].to_pylist() == [None]
    assert unreadable == {0: f"call_start_at is not an ISO 8601 date and time in {zone}"}


nearly = st.one_of(
    st.from_regex(
        re.compile(
            r"(19|20|21)\d\d-[01]\d-[0-3]\d[T ]?([0-2]\d)?(:?[0-5]\d)?(:?[0-6]\d)?([.,]\d{0,9})?(Z|[+-]\d\d(:?\d\d)?)?"
        ),
        fullmatch=True,
    ),
    st.text("0123456789-:TZ+. W", max_size=26),
    st.text(max_size=12),
)


@given(text=nearly, zone=zones)
@settings(max_examples=600, deadline=None)
def test_both_ways_agree_on_any_text(text: str, zone: str) -> None:
    """What the quick way takes for an instant, the careful way takes for the same one."""
    try:
        quick = parse_columns({START: pa.array([text], pa.string())}, zone, None).columns[START][0].as_py()
    except ValueError:
        return
    assert quick == read_one(text, zone)


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_the_spring_hour_that_never_was_is_refused(zone: str) -> None:
    """A local time in the gap is nobody's instant; the second before the gap and the end of it are read."""
    forward = datetime.fromisoformat(CHANGES[zone][1])
    edge = forward.astimezone(ZoneInfo(zone)).replace(tzinfo=None)  # the first time after the gap
    in_gap = (edge - timedelta(seconds=1)).isoformat()
    assert is_refused([in_gap], zone)
    assert read_one(in_gap, zone) is None
    assert read_one(edge.isoformat(), zone) == forward
    before = forward - timedelta(seconds=1)
    assert read_one(local(before, zone), zone) == before


def test_mixed_styles_in_one_column() -> None:
    """Texts of different styles are refused as a column, and read a text at a time: local ones, too, by the order."""
    zone = "Europe/Berlin"
    texts: list[str | None] = [
        "2026-10-25T03:00:00+01:00",
        "2026-10-25T02:30:00",  # second pass
        "2026-10-25T01:10:00Z",
        None,
        "2026-10-25 02:05:00",  # second pass, still
        "2026-10-25T02:59:00+02:00",
        "2026-10-25T02:40:00",  # first pass: after 00:59Z above, it can be nothing else
        "nonsense",
        "2026-10-24T23:00:00.000Z",
    ]
    assert is_refused(texts, zone)
    read, unreadable = parse_each({START: texts}, zone, None)
    assert [at and at.strftime("%H:%M") for at in read.columns[START].to_pylist()] == [
        "02:00", "01:30", "01:10", None, "01:05", "00:59", "00:40", None, "23:00",
    ]  # fmt: skip
    assert list(unreadable) == [7]
    assert list(read.twice) == [1, 4, 6]


def test_a_row_out_of_place_does_not_move_its_neighbours() -> None:
    """A start that is far too old or too new leaves the rows below it on their own side of the change."""
    truth = ["02:10", "01:50", "01:10", "00:55", "00:05"]
    wall = [local(datetime.fromisoformat(f"2026-10-25T{at}:00Z"), "Europe/Berlin") for at in truth]
    for stray in ("2026-10-20T12:00:00", "2026-10-30T12:00:00"):
        for row in range(1, 3):
            texts: list[str | None] = [*wall[:row], stray, *wall[row:]]
            found = both({START: texts}, "Europe/Berlin").columns[START].to_pylist()
            del found[row]
            assert [at.strftime("%H:%M") for at in found] == truth


@given(
    zone=st.sampled_from(sorted(CHANGES)),
    start=st.integers(-7200, 3600),
    wait=st.integers(0, 3599),
    talk=st.integers(0, 3599),
    answered=st.booleans(),
)
@example(zone="Europe/Berlin", start=-3000, wait=3000, talk=1800, answered=True)
@settings(max_examples=500, deadline=None)
def test_answers_and_ends_follow_their_start(zone: str, start: int, wait: int, talk: int, answered: bool) -> None:
    """A wait and a talk, each shorter than what the clocks are set back by, are read back exactly.

    Rows above and below pin the start to its side: a call of each pass whose local times jump up between them.
    """
    change = datetime.fromisoformat(CHANGES[zone][0])
    if zone == "Australia/Lord_Howe":
        wait, talk = wait // 2, talk // 2
    begun = change + timedelta(seconds=start)
    answer = begun + timedelta(seconds=wait) if answered else None
    end = (answer or begun) + timedelta(seconds=talk)
    starts = sorted([begun, change, change - timedelta(seconds=1)], reverse=True)
    row = starts.index(begun)
    texts: dict[str, list[str | None]] = {START: [local(at, zone) for at in starts]}
    texts |= {ANSWERED: [None] * 3, FINISHED: [None] * 3}
    texts[ANSWERED][row] = local(answer, zone) if answer else None
    texts[FINISHED][row] = local(end, zone)
    read = both(texts, zone).columns
    assert [read[name][row].as_py() for name in (START, ANSWERED, FINISHED)] == [begun, answer, end]


@given(zone=st.sampled_from(sorted(CHANGES)), start=st.integers(-9000, 9000), length=st.integers(0, 9000))
@settings(max_examples=300, deadline=None)
def test_a_duration_tells_the_end(zone: str, start: int, length: int) -> None:
    """A call of any length ends when its duration says, on whichever side of the change that is."""
    change = datetime.fromisoformat(CHANGES[zone][0])
    begun = change + timedelta(seconds=start)
    end = begun + timedelta(seconds=length)
    starts = sorted([begun, change, change - timedelta(seconds=1)], reverse=True)
    row = starts.index(begun)
    texts: dict[str, list[str | None]] = {START: [local(at, zone) for at in starts], FINISHED: [None] * 3}
    texts[FINISHED][row] = local(end, zone)
    assert both(texts, zone, [length] * 3).columns[FINISHED][row].as_py() == end


def test_nothing_to_read() -> None:
    """No rows, and rows of nothing but nulls, are columns of no instants."""
    assert both({START: [], FINISHED: []}, "Europe/Berlin").columns[START].to_pylist() == []
    assert both({START: [None, None]}, "Europe/Berlin").columns[START].to_pylist() == [None, None]
