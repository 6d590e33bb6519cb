"""The state of a call centre at work: who is free, who waits, and the calls so far, as columns of numbers.

Instants are seconds since the first day began, as floats. Users, places (queues, then ring groups) and the phone
book's numbers are positions.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.parameters import CallCentre, Queue
from pipelines.sandbox.callcentre.phone_book import PhoneBook

LOGNORMAL_SIGMA = 0.8  # of talk times


def floats() -> "array[float]":
    """An empty column of instants. An array takes a quarter of the memory of a list."""
    return array("d")


def ints() -> "array[int]":
    """An empty column of positions or codes."""
    return array("q")


@dataclass(frozen=True, slots=True)
class Visits:
    """Columns with one entry per visit to a queue or ring group. Until it is answered, a visit ends at its deadline."""

    place: "array[int]" = field(default_factory=ints)
    caller: "array[int]" = field(default_factory=ints)
    number: "array[int]" = field(default_factory=ints)
    entered: "array[float]" = field(default_factory=floats)
    answered: "array[float]" = field(default_factory=floats)  # valid if `user` is not -1
    ends: "array[float]" = field(default_factory=floats)
    user: "array[int]" = field(default_factory=ints)  # -1: not answered
    status: "array[int]" = field(default_factory=ints)


@dataclass(frozen=True, slots=True)
class UserCalls:
    """Columns with one entry per call of a user; a call whose `answered` equals `ends` had no answer."""

    caller: "array[int]" = field(default_factory=ints)
    called: "array[int]" = field(default_factory=ints)
    user: "array[int]" = field(default_factory=ints)
    is_inbound: "array[int]" = field(default_factory=ints)
    starts: "array[float]" = field(default_factory=floats)
    answered: "array[float]" = field(default_factory=floats)
    ends: "array[float]" = field(default_factory=floats)


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
    waiting: list[deque[int]]  # place → visits in order of entry, including some that have ended
    due: list[tuple[float, int, int]] = field(default_factory=list)  # a heap of (instant, event, user or visit)
    visits: Visits = field(default_factory=Visits)
    user_calls: UserCalls = field(default_factory=UserCalls)


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
