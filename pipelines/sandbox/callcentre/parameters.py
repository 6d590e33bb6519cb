"""The parameters of a simulated call centre: queues, people, hours, and the habits of callers."""

import math
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Literal

# Relative volume by the hour of a local day, and by the day of the week from Monday.
HOURS = (0.1,) * 6 + (0.2, 0.4, 1.0, 1.6, 1.8, 1.6, 1.1, 1.1, 1.4, 1.5, 1.2, 0.8, 0.4, 0.25, 0.2, 0.15, 0.1, 0.1)
DAYS = (1.2, 1.05, 0.95, 0.95, 0.85, 0.5, 0.3)
HOUR_WEIGHTS = tuple(day * hour for day in DAYS for hour in HOURS)


@dataclass(frozen=True)
class Queue:
    """A queue, or a ring group if it is one of a centre's `ring_groups`: there all free members' phones ring at once.

    Spans are in seconds and may be infinite. At the time-out a caller enters `overflow`, the name of another queue or
    ring group, or is cut off if there is none.
    """

    name: str
    numbers: tuple[str, ...]  # inbound numbers that lead to it
    members: tuple[str, ...]  # names of the users who answer
    share: float = 1.0  # volume relative to other queues'; all queues together have `calls_per_day`
    talk_seconds: float = 240.0  # mean
    patience_seconds: float = 180.0  # mean of an exponential distribution
    timeout_seconds: float = math.inf
    overflow: str | None = None


@dataclass(frozen=True)
class CallCentre:
    """Everything that a simulation depends on; equal centres give equal calls.

    Without `queues`, `staffed` adds some, with enough agents for `calls_per_day`. Raises ValueError, with the reason,
    if the parameters do not fit together.
    """

    seed: int = 1
    timezone: str = "Australia/Sydney"
    first_day: date = date(2025, 1, 1)  # local, like the hours below
    days: int = 365
    calls_per_day: float = 600.0  # first attempts at all queues on an average weekday
    hour_weights: tuple[float, ...] = HOUR_WEIGHTS  # 168, from Monday's first hour
    queues: tuple[Queue, ...] = ()
    ring_groups: tuple[Queue, ...] = ()
    office: tuple[str, ...] = ()  # users in no queue or ring group
    talk_shape: Literal["lognormal", "exponential"] = "lognormal"
    answer_seconds: float = 4.0  # mean ringing time of a free phone before the answer
    redial_share: float = 0.35  # share of lost callers who ring again
    redial_seconds: float = 240.0  # mean time until they do
    callback_share: float = 0.5  # share of lost callers with a known number whom an agent calls back, if free then
    callback_seconds: float = 2400.0  # mean time until the agent does
    anonymous_share: float = 0.06
    direct_share: float = 0.12  # calls from outside to a user's own number, per call to a queue
    outbound_share: float = 0.15  # calls by users to the outside except callbacks, per call to a queue
    internal_share: float = 0.04  # calls between two users, per call to a queue
    user_talk_seconds: float = 150.0  # mean, in calls without a queue or ring group

    @property
    def places(self) -> tuple[Queue, ...]:
        """The queues, then the ring groups."""
        return self.queues + self.ring_groups

    @property
    def users(self) -> tuple[str, ...]:
        """The names of all users, each once."""
        return tuple(dict.fromkeys(chain(*(place.members for place in self.places), self.office)))

    @property
    def extensions(self) -> dict[str, str]:
        """Each user's short number inside the centre."""
        return {name: str(200 + position) for position, name in enumerate(self.users)}

    @property
    def direct_numbers(self) -> dict[str, str]:
        """Each user's own number for calls from outside, from a range reserved for fiction."""
        return {name: f"+6125550{1000 + position}" for position, name in enumerate(self.users)}

    def __post_init__(self) -> None:
        if len(self.hour_weights) != 168 or min(self.hour_weights) < 0 or not sum(self.hour_weights[:120]):
            raise ValueError("hour_weights: give 168 numbers from 0 up, some weekday's above 0")
        if len(self.users) > 9000:
            raise ValueError(f"{len(self.users)} users: at most 9000 can have a number of their own")
        for place in self.places:
            if not place.members and min(place.patience_seconds, place.timeout_seconds) == math.inf:
                raise ValueError(
                    f"{place.name!r} has no members and callers who wait for ever: add members, patience or a time-out"
                )
        onward: dict[str | None, str | None] = {place.name: place.overflow for place in self.places}
        if len(onward) < len(self.places):
            raise ValueError("two queues or ring groups have one name: rename one")
        if unknown := {*onward.values()} - {None, *onward}:
            raise ValueError(f"overflow into {unknown}: no queue or ring group has that name")
        for name in onward:
            reached = name
            for _ in onward:
                reached = onward.get(reached)
            if reached is not None:
                raise ValueError(f"overflow from {name!r} goes round in a circle: let it end somewhere")
