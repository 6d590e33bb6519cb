"""The state of a call centre at work: who is free, who waits, and the calls so far.

Instants are seconds since the first day began, as floats. Users, places (queues, then ring groups) and the phone
book's numbers are positions.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.parameters import CallCentre, Queue
from pipelines.sandbox.callcentre.phone_book import PhoneBook

LOGNORMAL_SIGMA = 0.8  # of talk times


@dataclass(slots=True, order=True)
class Visit:
    """One visit to a queue or ring group. Until it is answered, it ends at its deadline. Visits sort by entry."""

    entered: float
    place: int
    caller: int
    number: int
    ends: float
    status: int
    answered: float = 0.0
    user: int = -1  # -1: not answered


class UserCall(NamedTuple):
    """One call of a user. If `answered` equals `ends`, it had no answer."""

    caller: int
    called: int
    user: int
    is_inbound: int
    starts: float
    answered: float
    ends: float


@dataclass(frozen=True, slots=True)
class Floor:
    """Who is free, who waits, which events are due, and all calls so far."""

    centre: CallCentre
    book: PhoneBook
    places: tuple[Queue, ...]
    closes: float  # nobody starts a call from this instant on
    overflow: list[int | None]  # place → place
    home: dict[int, int]  # inbound number → place
    places_of: list[list[int]]  # user → places
    free: list[dict[int, None]]  # place → its free members, the longest idle first
    idle: set[int]  # all free users
    pause: Iterator[float]  # exponential with mean 1
    talk: Iterator[float]  # with mean 1
    chance: Iterator[float]  # uniform from 0 to 1
    waiting: list[deque[Visit]]  # place → visits in order of entry, including some that have ended
    due: list[tuple[float, int, Any]] = field(default_factory=list)  # a heap of (instant, event, user or visit)
    visits: list[Visit] = field(default_factory=list)
    user_calls: list[UserCall] = field(default_factory=list)


def open_floor(centre: CallCentre, book: PhoneBook, closes: float, seed: np.random.SeedSequence) -> Floor:
    """A floor on which everybody is free and nothing has happened."""
    places = centre.places
    names = [place.name for place in places]
    position = {user: i for i, user in enumerate(centre.users)}
    homes = [i for i, place in enumerate(places) for _ in place.numbers]
    pause, talk, chance = map(np.random.default_rng, seed.spawn(3))
    return Floor(
        centre,
        book,
        places,
        closes,
        overflow=[None if place.overflow is None else names.index(place.overflow) for place in places],
        home={book.first_inbound + i: place for i, place in enumerate(homes)},
        places_of=[[i for i, place in enumerate(places) if user in place.members] for user in position],
        free=[dict.fromkeys(position[user] for user in place.members) for place in places],
        idle=set(position.values()),
        pause=stream(pause.standard_exponential),
        talk=stream(talk_times(talk, centre.talk_shape)),
        chance=stream(chance.random),
        waiting=[deque() for _ in places],
    )


def talk_times(random: np.random.Generator, shape: str) -> Callable[[int], NDArray[np.float64]]:
    """A function that draws talk times with mean 1."""
    if shape == "exponential":
        return random.standard_exponential
    return lambda size: random.lognormal(-(LOGNORMAL_SIGMA**2) / 2, LOGNORMAL_SIGMA, size)


def stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """Endless single draws, made in batches because these cost far less."""
    while True:
        yield from draw(4096).tolist()
