"""What the simulated PBX saw, and the budget it keeps: requests by arrival, in a sliding window."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Arrival:
    """A request the PBX saw, `at` on its monotonic clock in seconds.

    `account` is a name, or "#" and a hash of an unknown key; `endpoint` a name, or an unknown path; `parameters` the
    query's; `status` what was answered, None when nothing was (yet).
    """

    at: float
    account: str
    endpoint: str
    parameters: dict[str, str]
    status: int | None = None


class Tally:
    """The arrivals in order, and for each account those that its window still counts, refused ones among them."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._windows: defaultdict[str, deque[float]] = defaultdict(deque)

    def spend(self, account: str, at: float, requests: int, window_seconds: float) -> float:
        """Count a request; 0, or, over the budget, the seconds until there is room for another."""
        window = self._windows[account]
        window.append(at)
        while window[0] <= at - window_seconds:
            window.popleft()
        return window[-requests] + window_seconds - at if len(window) > requests else 0.0


def most_within(seconds: float, instants: Iterable[float]) -> int:
    """The greatest number of `instants` in any half-open span of `seconds`."""
    most, window = 0, deque[float]()
    for instant in sorted(instants):
        window.append(instant)
        while window[0] <= instant - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
