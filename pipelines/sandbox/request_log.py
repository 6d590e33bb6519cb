"""The requests that arrived at the simulated PBX, and its own budget: a sliding window per account."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


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


def spend(window: deque[float], at: float, requests: int, window_seconds: float) -> float:
    """Add a request to an account's `window`. Returns 0 if it is within the budget, else the seconds until one is."""
    window.append(at)
    while window[0] <= at - window_seconds:
        window.popleft()
    return window[-requests] + window_seconds - at if len(window) > requests else 0.0


def most_within(seconds: float, instants: Iterable[float]) -> int:
    """The largest number of `instants` in any half-open span of `seconds`."""
    at = np.sort(list(instants))
    before = np.searchsorted(at, at - seconds, side="right")
    return int((np.arange(1, len(at) + 1) - before).max(initial=0))
