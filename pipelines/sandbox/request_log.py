"""The requests that arrived at the simulated PBX, and its own budget: a sliding window per account."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Arrival:
    """One request that arrived, `at` seconds on the PBX's monotonic clock.

    `account` is a name, or "#" and a hash if the key is unknown. `endpoint` is a name, or the path if it is unknown.
    `parameters` are the query's. `status` is None as long as no response has been sent.
    """

    at: float
    account: str
    endpoint: str
    parameters: dict[str, str]
    status: int | None = None


class RequestLog:
    """All arrivals in order, and for each account the arrivals in its present window, including refused ones."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._windows: defaultdict[str, deque[float]] = defaultdict(deque)

    def spend(self, account: str, at: float, requests: int, window_seconds: float) -> float:
        """Count a request. Returns 0 if it is within the budget, else the seconds until there is room for another."""
        window = self._windows[account]
        window.append(at)
        while window[0] <= at - window_seconds:
            window.popleft()
        return window[-requests] + window_seconds - at if len(window) > requests else 0.0


def most_within(seconds: float, instants: Iterable[float]) -> int:
    """The largest number of `instants` in any half-open span of `seconds`."""
    most, window = 0, deque[float]()
    for instant in sorted(instants):
        window.append(instant)
        while window[0] <= instant - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
