"""Instants of every style, in zones whose clocks change by an hour, by half an hour, and never."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.time_zones import DATABASE, read_zone, zone_names
from pipelines.voipcloud.records.timestamps import END, FIRST, START, STEP, Instants, offset_changes, parse_columns

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
    return instant.astimezone(read_zone(zone)).strftime("%Y-%m-%dT%H:%M:%S")


def parse(
    texts: Mapping[str, Sequence[str | None]], zone: str, durations: Sequence[int | None] | None = None
) -> Instants:
    """The instants of columns of texts."""
    seconds = None if durations is None else pa.array(durations, pa.int64())
    return parse_columns({name: pa.array(column, pa.string()) for name, column in texts.items()}, zone, seconds)


def read(texts: Sequence[str | None], zone: str) -> list[datetime | None]:
    """A column of starts, none of which is refused."""
    found = parse({START: texts}, zone)
    assert not found.unreadable
    instants: list[datetime | None] = found.columns[START].to_pylist()
    return instants


def read_one(text: str, zone: str) -> datetime | None:
    """A text read by itself; None where it is refused, or empty."""
    found = parse({START: [text]}, zone)
    assert (found.columns[START].null_count == 1) == (bool(found.unreadable) or not text)
    instant: datetime | None = found.columns[START][0].as_py()
    return instant


def python_readings(text: str, zone: str) -> set[datetime]:
    """What the standard library reads in a local time: two instants where it comes twice, none where it never was."""
    early, late = (datetime.fromisoformat(text).replace(tzinfo=read_zone(zone), fold=fold) for fold in (0, 1))
    return {at.astimezone(UTC) for at in (early, late)} if early.astimezone(UTC) <= late.astimezone(UTC) else set()


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "America/Vancouver", "Africa/Casablanca", "Asia/Gaza", "UTC"])
def test_the_table_of_offsets_is_the_zones_own(zone: str) -> None:
    """From 2000 to 2200, at every change and at any other time, the table has the offset that the zone has."""
    changes, offsets = offset_changes(zone)
    dice = np.random.default_rng(7)
    for at in [*changes[1:], *(changes[1:] - 1), *dice.integers(FIRST, END, 2000)]:
        offset = datetime.fromtimestamp(int(at), read_zone(zone)).utcoffset()
        assert offset == timedelta(seconds=int(offsets[np.searchsorted(changes, at, side="right") - 1]))
    assert len(changes) > (0 if zone == "UTC" else 50)


def test_no_zone_changes_twice_within_a_step() -> None:
    """The table is made in steps, each of which may hold one change: no zone of the database has two as close."""
    for name in zone_names():
        data = (DATABASE / "zoneinfo").joinpath(*name.split("/")).read_bytes()
        second = data.index(b"TZif", 4)  # the block of 64-bit times
        count = int.from_bytes(data[second + 32 : second + 36], "big")
        times = np.frombuffer(data, ">i8", count, second + 44)
        gaps = np.diff(times[times >= FIRST - STEP])
        assert gaps.size == 0 or gaps.min() > STEP


@given(zone=zones, seconds=offsets)
@settings(max_examples=300, deadline=None)
def test_local_times_are_read_as_python_does(zone: str, seconds: list[int]) -> None:
    """Around any change each local time is one of the instants that the standard library reads in it."""
    for change in CHANGES.get(zone, CHANGES["Europe/Berlin"]):
        texts = [local(datetime.fromisoformat(change) + timedelta(seconds=at), zone) for at in seconds]
        assert all(at in python_readings(text, zone) for at, text in zip(read(texts, zone), texts, strict=True))


@given(zone=st.sampled_from(sorted(CHANGES)), which=st.sampled_from((0, 1)), seconds=offsets)
@settings(max_examples=600, deadline=None)
def test_a_list_without_offsets_keeps_its_order(zone: str, which: int, seconds: list[int]) -> None:
    """Around both changes the seconds to page by are newest first as the list is, whatever the starts are read as:
    those of the hour that comes twice are one second, and all others are the calls' own."""
    change = datetime.fromisoformat(CHANGES[zone][which])
    truth = [change + timedelta(seconds=at) for at in sorted(seconds, reverse=True)]
    found = parse({START: [local(at, zone) for at in truth]}, zone).sort_seconds.tolist()
    assert all(above >= below for above, below in pairwise(found))
    assert found == [int((change if is_doubled(at, zone) else at).timestamp()) for at in truth]


def is_doubled(at: datetime, zone: str) -> bool:
    """Whether the local time of this instant comes twice."""
    return len(python_readings(local(at, zone), zone)) == 2


def is_told_by_order(instants: Sequence[datetime], zone: str) -> bool:
    """Whether a newest-first list of local times tells on which side of the change each call is.

    It does where nothing starts on the first pass through the hour that comes twice, or where the newest start of
    the first pass has a later local time than the oldest start of the second pass: there the times jump up.
    """
    set_back = datetime.fromisoformat(CHANGES[zone][0])
    first = [at for at in instants if at < set_back and is_doubled(at, zone)]
    second = [at for at in instants if at >= set_back and is_doubled(at, zone)]
    return not first or bool(second and local(first[0], zone) > local(second[-1], zone))


def an_hour_late(at: datetime, zone: str) -> datetime:
    """The same local time on the second pass: an hour later, or half an hour where the clocks change by that."""
    return at.astimezone(read_zone(zone)).replace(fold=1).astimezone(UTC)


@given(zone=st.sampled_from(sorted(CHANGES)), which=st.sampled_from((0, 1)), seconds=offsets)
@settings(max_examples=600, deadline=None)
def test_local_times_around_a_change_are_read_back(zone: str, which: int, seconds: list[int]) -> None:
    """Around both changes a list of local times is read back exactly whenever its order tells the two passes apart.

    Where it does not, the calls of the first pass are read as of the second, all of them, and nothing else is wrong.
    """
    change = datetime.fromisoformat(CHANGES[zone][which])
    truth = [change + timedelta(seconds=at) for at in sorted(seconds, reverse=True)]
    found = read([local(at, zone) for at in truth], zone)
    if which == 1 or is_told_by_order(truth, zone):
        assert found == truth
    else:
        assert found == [an_hour_late(at, zone) if is_doubled(at, zone) else at for at in truth]


def test_an_offset_within_the_hour_that_comes_twice() -> None:
    """Where some starts have offsets and others have none, all of that hour are the same second; elsewhere none is."""
    zone = "Europe/Berlin"
    aware: list[str | None] = ["2026-10-25T02:30:00+01:00", "2026-10-25T01:10:00Z", "2026-10-25T02:59:00+02:00"]
    assert len(set(parse({START: aware}, zone).sort_seconds.tolist())) == 3
    mixed = parse({START: ["2026-10-25T03:00:00", *aware, "2026-10-25T02:05:00", "2026-10-25T01:59:59"]}, zone)
    set_back = datetime.fromisoformat(CHANGES[zone][0])
    assert [datetime.fromtimestamp(at, UTC) for at in mixed.sort_seconds.tolist()] == [
        set_back + timedelta(hours=1), *[set_back] * 4, set_back - timedelta(hours=1, seconds=1)
    ]  # fmt: skip


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
    texts = [write(at, zone, style) for at in truth]
    assert read(texts, "America/St_Johns") == truth
    assert parse({START: texts}, "America/St_Johns").sort_seconds.tolist() == [int(at.timestamp()) for at in truth]


def write(at: datetime, zone: str, style: str) -> str:
    """The instant in a style that leaves nothing open."""
    if style == "Z":
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    if style == "millis":
        return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    wall = at.astimezone(read_zone(zone))
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
    """Each style of ISO 8601 that a PBX may write is read as the instant it names, alone and beside another style."""
    truth = datetime.fromisoformat(instant + "+00:00")
    assert read([text], "UTC") == [truth]
    assert read(["2026-10-09 10:20:30.5-0330", text, "2026-10-09T10:20:30"], "UTC")[1] == truth


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
    """Garbage, dates alone and placeholder years are refused, for a reason that does not quote them, and cost none of
    their neighbours; a text that is empty says nothing."""
    sound = "2026-10-09T10:20:30Z"
    found = parse({START: [sound, text, sound]}, zone)
    assert found.columns[START].to_pylist() == [datetime.fromisoformat(sound), None, datetime.fromisoformat(sound)]
    assert found.unreadable == ({1: f"call_start_at is not an ISO 8601 date and time in {zone}"} if text else {})
    assert read_one(text, zone) is None


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
def test_a_column_reads_as_its_texts_do(text: str, zone: str) -> None:
    """Whatever the text: what a column of its style makes of it, a column of mixed styles does, too."""
    other = "2026-10-09T10:20:30.5-0330"
    mixed = parse({START: [other, text, "2026-10-09T10:20:30"]}, zone)
    assert mixed.columns[START][1].as_py() == read_one(text, zone)


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_the_spring_hour_that_never_was_is_refused(zone: str) -> None:
    """A local time in the gap is nobody's instant; the second before the gap and the end of it are read."""
    forward = datetime.fromisoformat(CHANGES[zone][1])
    edge = forward.astimezone(read_zone(zone)).replace(tzinfo=None)  # the first time after the gap
    in_gap = (edge - timedelta(seconds=1)).isoformat()
    assert read_one(in_gap, zone) is None
    assert read_one(edge.isoformat(), zone) == forward
    before = forward - timedelta(seconds=1)
    assert read_one(local(before, zone), zone) == before


def test_mixed_styles_in_one_column() -> None:
    """Texts of different styles are read each by its own."""
    texts = ["2026-10-25T03:00:00+01:00", "2026-10-25T03:30:00", "2026-10-25T01:10:00Z", None, "nonsense", ""]
    found = parse({START: texts}, "Europe/Berlin")
    assert [at and at.strftime("%H:%M") for at in found.columns[START].to_pylist()] == [
        "02:00", "02:30", "01:10", None, None, None,
    ]  # fmt: skip
    assert list(found.unreadable) == [4]


def test_a_row_out_of_place_does_not_move_its_neighbours() -> None:
    """A start that is far too old or too new leaves the rows below it on their own side of the change."""
    truth = ["02:10", "01:50", "01:10", "00:55", "00:05"]
    wall = [local(datetime.fromisoformat(f"2026-10-25T{at}:00Z"), "Europe/Berlin") for at in truth]
    for stray in ("2026-10-20T12:00:00", "2026-10-30T12:00:00"):
        for row in range(1, 3):
            texts: list[str | None] = [*wall[:row], stray, *wall[row:]]
            found = read(texts, "Europe/Berlin")
            del found[row]
            assert [at and at.strftime("%H:%M") for at in found] == truth


def test_a_row_without_a_start_does_not_move_its_neighbours() -> None:
    """An answer says nothing of where its record stands in the list."""
    starts = ["2026-10-25T02:50:00", None, "2026-10-25T02:40:00", "2026-10-25T02:45:00"]
    answers = [None, "2026-10-25T02:10:00", None, None]
    found = parse({START: starts, ANSWERED: answers}, "Europe/Berlin").columns[START].to_pylist()
    assert [at and at.strftime("%H:%M") for at in found] == ["01:50", None, "01:40", "00:45"]


def told(zone: str, *at: datetime | None) -> dict[str, list[str | None]]:
    """One call's start, answer and end as a PBX without offsets writes them."""
    texts = [None if each is None else local(each, zone) for each in at]
    return {name: [text] for name, text in zip((START, ANSWERED, FINISHED), texts, strict=True)}


def told_of(found: Instants) -> list[datetime | None]:
    """The one call's start, answer and end."""
    return [found.columns[name][0].as_py() for name in (START, ANSWERED, FINISHED)]


@given(
    zone=st.sampled_from(sorted(CHANGES)),
    start=st.integers(-9000, 9000),
    wait=st.integers(0, 5000),
    talk=st.integers(0, 5000),
    answered=st.booleans(),
)
@example(zone="Europe/Berlin", start=-29, wait=9, talk=22, answered=True)
@settings(max_examples=800, deadline=None)
def test_a_duration_tells_the_end(zone: str, start: int, wait: int, talk: int, answered: bool) -> None:
    """A call of a known duration lasts as long as that, ends after it starts and is answered in between; and where
    only one reading does, that is the truth."""
    begun = datetime.fromisoformat(CHANGES[zone][0]) + timedelta(seconds=start)
    answer = begun + timedelta(seconds=wait) if answered else None
    end = begun + timedelta(seconds=wait + talk)
    texts = told(zone, begun, answer, end)
    found = told_of(parse(texts, zone, [wait + talk]))
    there = [at for at in found if at]
    assert there == sorted(there)
    assert there[-1] - there[0] == timedelta(seconds=wait + talk)
    assert all(at in python_readings(text[0] or "", zone) for at, text in zip(found, texts.values(), strict=True) if at)
    if is_doubled(begun, zone) != is_doubled(end, zone):
        assert (found[0], found[2]) == (begun, end)


@given(
    zone=st.sampled_from(sorted(CHANGES)),
    start=st.integers(-9000, 9000),
    wait=st.integers(0, 900),
    talk=st.integers(0, 899),
)
@settings(max_examples=500, deadline=None)
def test_without_a_duration_a_call_is_short(zone: str, start: int, wait: int, talk: int) -> None:
    """A visit of less than the clocks are set back by is as long as it was, and stands on the right side of the change
    if any of its times comes once only or if it spans the change."""
    change = datetime.fromisoformat(CHANGES[zone][0])
    truth = [change + timedelta(seconds=at) for at in (start, start + wait, start + wait + talk)]
    found = told_of(parse(told(zone, *truth), zone))
    late = [at and at + (truth[0] - (found[0] or at)) for at in found]
    assert late == truth
    if not all(is_doubled(at, zone) for at in truth) or truth[0] < change <= truth[2]:
        assert found == truth
    else:
        assert found[0] == max(python_readings(local(truth[0], zone), zone))


def test_nothing_to_read() -> None:
    """No rows, and rows of nothing but nulls, are columns of no instants."""
    assert parse({START: [], FINISHED: []}, "Europe/Berlin").columns[START].to_pylist() == []
    assert read([None, None], "Europe/Berlin") == [None, None]
