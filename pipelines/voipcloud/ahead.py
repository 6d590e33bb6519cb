"""Fetches a list's next page while the last one is being read, where that page is sure to be wanted.

The offset it asks from is a guess, which is enough: `paging.next_step` decides by the seconds of the rows.
Never more than one page of a list ahead, so an interruption costs at most that one request more.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from types import TracebackType
from typing import Any, Self

import orjson
from msgspec import Raw

from pipelines.voipcloud.coverage import DAY, DateRange
from pipelines.voipcloud.paging import Cursor

Fetch = Callable[[str, DateRange, Cursor], list[Raw]]
TO_THE_SECOND = len("2026-01-31T23:59:59")
TO_THE_DAY = len("2026-01-31")


class PageAhead:
    """Pages of several lists, by endpoint, with at most one request under way."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._under_way: dict[str, tuple[Cursor, Future[list[Raw]]]] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="page-ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._worker.shutdown(cancel_futures=True)

    def take(self, endpoint: str, stretch: DateRange, place: Cursor) -> tuple[Cursor, list[Raw]]:
        """The page at `place`, and the place it was read at. Raises what the request raised."""
        guess, page = self._under_way.pop(endpoint, (None, None))
        if guess is not None and page is not None and guess.limit == place.limit and guess.offset <= place.offset:
            return replace(place, offset=guess.offset), page.result()
        return place, self._worker.submit(self._fetch, endpoint, stretch, place).result()

    def begin(self, endpoint: str, stretch: DateRange, place: Cursor, page: Sequence[Raw]) -> None:
        """Asks for the page after this one, if this one is full and not near the stretch's first day."""
        if len(page) < place.limit or is_near(page[-1], stretch.first):
            return
        guess = replace(place, offset=place.offset + max(0, first_of_last_second(page) - 1))
        if guess.offset > place.offset:
            self._under_way[endpoint] = guess, self._worker.submit(self._fetch, endpoint, stretch, guess)


def first_of_last_second(page: Sequence[Raw]) -> int:
    """The index of the first record that seems to start in the same second as the last one."""
    last, index = _start(page[-1])[:TO_THE_SECOND], len(page) - 1
    while index > 0 and _start(page[index - 1])[:TO_THE_SECOND] == last:
        index -= 1
    return index


def is_near(record: Raw, first: date | None) -> bool:
    """Whether a record starts so near the first day wanted that the next page may not be."""
    return first is not None and _start(record)[:TO_THE_DAY] <= (first + DAY).isoformat()


def _start(record: Raw) -> str:
    try:
        wire: Any = orjson.loads(bytes(record))
    except orjson.JSONDecodeError:
        return ""
    return str(wire.get("call_start_at")) if isinstance(wire, dict) else ""
