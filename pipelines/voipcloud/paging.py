"""Reads a newest-first list by offset while it moves, losing and doubling nothing.

The list has no ids, calls arrive at its head, rows vanish, and calls that start in the same second may swap places
between two requests. So the cursor is a *second*, and the offset is only a guess at where that second is:

- a full page's oldest second may be cut by its edge, so it is dropped and read again with the next page;
- the next page starts at the last row kept, and must begin with that second or a newer one: otherwise rows vanished
  above it and others may have slipped past, so the page is asked for again from further up;
- rows of that second and newer were read before, and are skipped.

Pure: the caller fetches, `next_step` says what to take and where to go on.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import UnexpectedPayload

# A first page of exactly these lengths may be a server's own cap on `limit` and not the end of the list.
SUSPECTED_CAPS = (100, 1000)
# If more of a page than this is out of order, the list is not newest first.
OUT_OF_PLACE_SHARE = 0.01
# Give up after this many pages without one complete second: it holds more calls than a page.
MOST_STUCK = 20


@dataclass(frozen=True)
class Cursor:
    """Where to read on: ask for `limit` rows from `offset`; all rows of `second` (Unix) and newer are read."""

    limit: int
    offset: int = 0
    second: int | None = None
    step: int = 64  # rows to step back by if rows vanished above
    stuck: int = 0  # pages since the last that brought a whole second


@dataclass(frozen=True)
class PageStep:
    """The half-open range of a page's rows to keep, and where to read on: None at the end of the list."""

    start: int
    stop: int
    cursor: Cursor | None


def next_step(cursor: Cursor, seconds: Sequence[int]) -> PageStep:
    """Which rows of the page read at `cursor` are new and whole, and where to read on.

    `seconds` holds each row's start in Unix seconds, newest first. A short first page with the length of a usual cap
    counts as the end only after one more page. Raises `UnexpectedPayload` if one second fills a page.
    """
    size = len(seconds)
    if cursor.offset > 0 and cursor.second is not None and (size == 0 or seconds[0] < cursor.second):
        back = max(0, cursor.offset - cursor.step)
        return PageStep(0, 0, Cursor(cursor.limit, back, cursor.second, cursor.step * 2, cursor.stuck))

    start = 0 if cursor.second is None else _first_at_or_before(seconds, cursor.second - 1)
    limit = cursor.limit
    if size < limit:
        if cursor.second is not None or size not in SUSPECTED_CAPS:
            return PageStep(start, size, None)
        limit = size

    if start == size:  # more calls arrived since the last page than a page holds
        return PageStep(start, size, Cursor(limit, cursor.offset + size - 1, cursor.second, stuck=cursor.stuck))
    cut = _first_at_or_before(seconds, seconds[-1])
    stuck = 0 if cut > start else cursor.stuck + 1
    if (cut <= 1 and limit == cursor.limit) or stuck > MOST_STUCK:
        raise UnexpectedPayload(
            f"{limit - 1} calls or more start in one second (or in the hour that comes twice when clocks are set "
            "back), as many as a page can hold, so reading on could lose some of them. Narrow the load with a names "
            "filter."
        )
    second = seconds[cut - 1] if cut > start else cursor.second
    return PageStep(start, cut, Cursor(limit, cursor.offset + max(cut - 1, 0), second, stuck=stuck))


def _first_at_or_before(seconds: Sequence[int], second: int) -> int:
    """The index of the first row that starts at or before `second`, in a list that is newest first."""
    return bisect_left(seconds, -second, key=lambda value: -value)


def out_of_place(starts: dict[int, int]) -> list[int]:
    """The rows to leave out so that the rest is newest first, as few as can be; `starts` is row → Unix seconds.

    Raises `UnexpectedPayload` where they are so many that the list is in another order.
    """
    rows, seconds = list(reversed(starts)), list(reversed(starts.values()))
    if seconds == sorted(seconds):
        return []
    # longest non-decreasing subsequence, by patience sorting; from below, so that of two choices the upper row stays:
    # the first of a page has been seen in its place on the page before
    tails: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for index, second in enumerate(seconds):
        pile = bisect_right(tails, second)
        before.append(tops[pile - 1] if pile else -1)
        tails[pile : pile + 1] = [second]
        tops[pile : pile + 1] = [index]
    kept, index = set(), tops[-1]
    while index >= 0:
        kept.add(index)
        index = before[index]
    if len(rows) - len(kept) > max(1, OUT_OF_PLACE_SHARE * len(rows)):
        raise UnexpectedPayload(
            f"{len(rows) - len(kept)} of {len(rows)} records are not in order, newest first, so the list cannot be "
            "read without losing some. Nothing was loaded from this page. Ask the PBX's support about the order."
        )
    return [row for index, row in enumerate(rows) if index not in kept]
