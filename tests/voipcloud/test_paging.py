"""Paging's promise on generated histories: a simulated list that moves between any two requests."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.errors import UnexpectedPayload
from pipelines.voipcloud.paging import OUT_OF_PLACE_SHARE, SUSPECTED_CAPS, Cursor, next_step, out_of_place

Row = tuple[int, int]  # second, identity: the reader sees the second only
ENOUGH = 10_000  # more requests than any history here needs


@dataclass
class MovingList:
    """A newest-first list whose ties swap places, and which `move` changes in every way a PBX can."""

    rows: list[Row]
    rng: Random
    removed: set[int] = field(default_factory=set)
    born: int = field(init=False)  # rows so far, and the next one's identity

    def __post_init__(self) -> None:
        self.born = len(self.rows)

    def page(self, offset: int, limit: int) -> list[Row]:
        """The rows from `offset`, with the rows of each second in a new order."""
        self.rows.sort(key=lambda row: (-row[0], self.rng.random()))
        return self.rows[offset : offset + limit]

    def move(self, place: Cursor) -> None:
        """One to four changes, near the place or anywhere, of a row or of more than a page."""
        for _ in range(self.rng.randint(1, 4)):
            self.rng.choice((self._arrive, self._insert, self._remove, self._remove_above, self._remove_second))(place)

    def _arrive(self, place: Cursor) -> None:
        newest = max((second for second, _ in self.rows), default=0)
        for _ in range(self.rng.randint(1, 3 * min(place.limit, 100))):
            newest += self.rng.choice((0, 0, 1, 1, 2))
            self._add(newest)

    def _insert(self, place: Cursor) -> None:
        seconds = [second for second, _ in self.rows] or [0]
        near = place.second if place.second is not None else seconds[0]
        for _ in range(self.rng.randint(1, 6)):
            self._add(self.rng.choice((near - 1, near, near + 1, self.rng.choice(seconds))))

    def _remove(self, _: Cursor) -> None:
        self._drop(lambda *_: self.rng.random() < 0.1)

    def _remove_above(self, place: Cursor) -> None:
        count, offset = self.rng.randint(1, 2 * min(place.limit, 100)), place.offset
        self._drop(lambda at, _: offset - count <= at < offset)

    def _remove_second(self, place: Cursor) -> None:
        seconds = [second for second, _ in self.rows] or [0]
        gone = self.rng.choice((place.second, self.rng.choice(seconds)))
        self._drop(lambda _, row: row[0] == gone)

    def _add(self, second: int) -> None:
        self.rows.append((second, self.born))
        self.born += 1

    def _drop(self, is_gone: Callable[[int, Row], bool]) -> None:
        self.rows.sort(key=lambda row: -row[0])
        gone = [row for at, row in enumerate(self.rows) if is_gone(at, row)]
        self.removed |= {identity for _, identity in gone}
        self.rows = [row for row in self.rows if row[1] not in self.removed]


def most_requests(size: int, limit: int, most_ties: int) -> int:
    """What a still list costs at most: a page moves on by all its rows but its oldest second and the row above that."""
    return 1 + max(0, ceil((size - limit + 1) / max(1, limit - 1 - most_ties)))


def ties(rows: Sequence[Row]) -> int:
    """The most rows that share a second."""
    return max(Counter(second for second, _ in rows).values(), default=0)


def read(moving: MovingList, limit: int, moves: int = 0, cap: int = ENOUGH) -> tuple[list[Row], int]:
    """Reads the list while it moves `moves` times: the rows taken, and the requests after the last move."""
    place: Cursor | None = Cursor(limit)
    taken: list[Row] = []
    after = 0
    while place is not None:
        page = moving.page(place.offset, min(place.limit, cap))
        step = next_step(place, [second for second, _ in page])
        taken += page[step.start : step.stop]
        place = step.cursor
        after += 1
        assert after < ENOUGH, "reading does not end"
        if moves and place is not None:
            moves -= 1
            moving.move(place)
            after = 0
    return taken, after


def check_history(seed: int, limit: int, size: int, spread: int, moves: int, cap: int = ENOUGH) -> bool:
    """Reads one generated history, and asserts the promise; says whether it was read to its end."""
    rng = Random(seed)
    there = [(rng.randint(0, spread), identity) for identity in range(size)]
    moving = MovingList(list(there), rng)
    try:
        taken, after = read(moving, limit, moves, cap)
    except UnexpectedPayload:
        assert ties(moving.rows) >= min(limit, cap) - 1, "refused a list that a page can hold"
        return False
    times = Counter(identity for _, identity in taken)
    lost = [row for row in there if row[1] not in moving.removed and row[1] not in times]
    assert not lost, f"lost {lost}"
    assert max(times.values(), default=1) == 1, f"doubled {times.most_common(3)}"
    assert taken == sorted(taken, key=lambda row: -row[0]), "not newest first"
    length = min(limit, cap)
    way_back = log2(1 + moving.born / 64) + 1
    assert after <= way_back + most_requests(len(moving.rows), length, ties(moving.rows))
    return True


@given(
    seed=st.integers(0, 2**32),
    limit=st.integers(3, 50),
    size=st.integers(0, 400),
    spread=st.sampled_from((5, 40, 200, 1000)),
    moves=st.integers(0, 40),
)
@settings(max_examples=2500, deadline=None)
def test_nothing_is_lost_or_doubled_while_the_list_moves(
    seed: int, limit: int, size: int, spread: int, moves: int
) -> None:
    """Of 2,500 lists read to their end, every record that stood there throughout is taken once, none twice."""
    assume(check_history(seed, limit, size, spread, moves))


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(0, 700),
    spread=st.sampled_from((40, 200, 1000)),
    moves=st.integers(0, 10),
)
@settings(max_examples=150, deadline=None)
def test_a_cap_of_the_servers_own_loses_nothing_while_the_list_moves(
    seed: int, size: int, spread: int, moves: int
) -> None:
    """The same where the server gives 100 rows at most, whatever it is asked for."""
    assume(check_history(seed, 10_000, size, spread, moves, cap=100))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_nothing_is_lost_or_doubled_in_200_000_histories() -> None:
    """The same on 200,000 histories."""
    rng = Random(20_261_009)
    done = 0
    while done < 200_000:
        spread = rng.choice((5, 40, 200, 1000))
        done += check_history(rng.randrange(2**32), rng.randint(3, 50), rng.randint(0, 400), spread, rng.randint(0, 40))


@given(
    counts=st.lists(st.integers(1, 8), max_size=60),
    limit=st.integers(3, 40),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=500, deadline=None)
def test_a_list_that_stands_still_is_read_in_order_within_the_bound(counts: list[int], limit: int, seed: int) -> None:
    """A still list comes out whole and in order, in no more requests than `most_requests`, or is refused.

    It is refused exactly where a second fills what a page can hold: `limit` rows in the newest second, `limit` - 1 in
    another, which has to share its page with the row above.
    """
    rows = [(1000 - second, 100 * second + n) for second, count in enumerate(counts) for n in range(count)]
    still = MovingList(rows, Random(seed))
    fits = len(rows) < limit or (counts[0] < limit and max(counts[1:], default=0) < limit - 1)
    if not fits:
        with pytest.raises(UnexpectedPayload, match="names filter"):
            read(still, limit)
        return
    taken, requests = read(still, limit)
    assert [second for second, _ in taken] == [second for second, _ in rows]
    assert sorted(taken) == sorted(rows)
    assert requests <= most_requests(len(rows), limit, max(counts, default=0))


@given(size=st.integers(0, 300), limit=st.integers(3, 50))
@settings(deadline=None)
def test_without_ties_the_bound_is_exact(size: int, limit: int) -> None:
    """N records at limit L, no two in a second, cost 1 + ceil((N - L + 1) / (L - 2)) requests, and 1 below L."""
    still = MovingList([(second, second) for second in range(size)], Random(0))
    assert read(still, limit)[1] == most_requests(size, limit, 1)


@pytest.mark.parametrize("size", [0, 1, 9_999, 10_000, 10_001, 19_999, 20_000, 123_456, 300_000])
def test_a_first_load_costs_one_request_more_than_its_pages(size: int) -> None:
    """With M ties at most, ceil(N/L) + 1 requests do wherever ceil(N/L) * (M + 1) < L: here 9 million records."""
    seconds = [-(row // 10) for row in range(size)]
    place: Cursor | None = Cursor(10_000)
    requests = taken = 0
    while place is not None:
        step = next_step(place, seconds[place.offset : place.offset + place.limit])
        place, taken, requests = step.cursor, taken + step.stop - step.start, requests + 1
    assert taken == size
    assert requests <= ceil(size / 10_000) + 1
    assert requests == 1 or size >= 10_000


@pytest.mark.parametrize("cap", SUSPECTED_CAPS)
@pytest.mark.parametrize("extra", [-1, 0, 1, 250])
def test_a_first_page_as_long_as_a_usual_cap_is_not_the_end(cap: int, extra: int) -> None:
    """A page of 100 or 1,000 rows where 10,000 were asked for is followed by another; a shorter one is the end."""
    still = MovingList([(second, second) for second in range(cap + extra)], Random(0))
    taken, requests = read(still, 10_000, cap=cap)
    assert len(taken) == cap + extra
    assert requests == {-1: 1, 0: 2}.get(extra, requests)


@pytest.mark.parametrize(("arriving", "requests"), [(0, 3), (1, 30), (5, 30), (15, 40)])
def test_a_second_larger_than_a_page_is_refused_while_calls_arrive(arriving: int, requests: int) -> None:
    """A still list is refused on sight, and one that grows between any two requests is not asked for for ever."""
    with pytest.raises(UnexpectedPayload, match="19 calls or more start in one second"):
        read_growing([*range(2000, 1970, -1), *([1000] * 25), 10], 20, arriving, requests)


def read_growing(seconds: list[int], limit: int, arriving: int, requests: int) -> None:
    """Reads a list to whose head so many calls come between any two requests, for as many requests at most."""
    place = Cursor(limit)
    for _ in range(requests):
        step = next_step(place, seconds[place.offset : place.offset + limit])
        if step.cursor is None:
            return
        place = step.cursor
        seconds = [*range(seconds[0] + arriving, seconds[0], -1), *seconds]


def test_vanished_rows_above_are_noticed() -> None:
    """A page that begins too old, or past the end, is not used: the next begins further up, in doubling steps."""
    place = Cursor(10, offset=500, second=77)
    for seconds in ([76, 75], []):
        step = next_step(place, seconds)
        assert (step.start, step.stop) == (0, 0)
        assert step.cursor == Cursor(10, offset=436, second=77, step=128)
    assert next_step(Cursor(10, offset=100, second=77, step=128), []).cursor == Cursor(10, 0, 77, 256)
    assert next_step(Cursor(10, offset=500, second=77), [77, 76, 75]).cursor is None
    assert next_step(Cursor(10, offset=0, second=77), []).cursor is None


@given(moved=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 400)), max_size=4), ties=st.integers(1, 30))
@settings(deadline=None)
def test_few_rows_out_of_place_are_left_out(moved: list[tuple[int, int]], ties: int) -> None:
    """Of 300 rows, as few as can be are left out so that the rest is newest first; more than three are refused."""
    seconds = [300 - row // ties for row in range(300)]
    for row, second in moved:
        seconds[row] = second
    check_out_of_place(seconds)


@given(st.lists(st.integers(0, 6), max_size=12))
@settings(deadline=None)
def test_short_lists_out_of_place(seconds: list[int]) -> None:
    """In a short list one row may be out of its place, and no more."""
    check_out_of_place(seconds)


def check_out_of_place(seconds: list[int]) -> None:
    """Compares with the longest newest-first part, found by trying every row as its last."""
    longest: list[int] = []
    for row, second in enumerate(seconds):
        longest.append(1 + max((longest[above] for above in range(row) if seconds[above] >= second), default=0))
    fewest = len(seconds) - max(longest, default=0)
    starts = {10 * row: second for row, second in enumerate(seconds)}
    if fewest > max(1, OUT_OF_PLACE_SHARE * len(seconds)):
        with pytest.raises(UnexpectedPayload, match=f"^{fewest} of {len(seconds)} records are not in order"):
            out_of_place(starts)
        return
    left_out = out_of_place(starts)
    assert len(left_out) == fewest
    kept = [second for row, second in starts.items() if row not in left_out]
    assert kept == sorted(kept, reverse=True)
