"""The call centre at work: callers wait, users talk, the lost ring again; an event loop over columns of numbers.

A caller waits in a queue or ring group for its member longest idle, until patience or the time-out ends; the timed-out
go on to the overflow. A user is in one call at a time. Instants are seconds, as floats, since the first day began;
users, places (queues, then ring groups) and numbers (of the phone book) go by their positions.
"""

import math
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.parameters import CallCentre, PhoneBook, Queue

ANSWERED, ABANDONED, TIMEDOUT = range(3)
LOGNORMAL_SIGMA = 0.8  # of talk times
USER_ANSWERS = 0.8  # share of the calls to a free user, and of the calls users make, that are taken
UNANSWERED_SECONDS = 20.0  # mean ringing of those that are not


def floats() -> "array[float]":
    """An empty column of instants: an array holds millions in a quarter of a list's memory."""
    return array("d")


def ints() -> "array[int]":
    """An empty column of positions or codes."""
    return array("q")


@dataclass(frozen=True, slots=True)
class Visits:
    """Columns, one entry a visit to a queue or ring group. Until answered, a visit ends at its deadline."""

    place: "array[int]" = field(default_factory=ints)
    caller: "array[int]" = field(default_factory=ints)
    number: "array[int]" = field(default_factory=ints)
    entered: "array[float]" = field(default_factory=floats)
    answered: "array[float]" = field(default_factory=floats)  # means something where `user` does
    ends: "array[float]" = field(default_factory=floats)
    user: "array[int]" = field(default_factory=ints)  # -1: nobody
    status: "array[int]" = field(default_factory=ints)


@dataclass(frozen=True, slots=True)
class UserCalls:
    """Columns, one entry a call of a user; nobody answered where `answered` equals `ends`."""

    caller: "array[int]" = field(default_factory=ints)
    called: "array[int]" = field(default_factory=ints)
    user: "array[int]" = field(default_factory=ints)
    is_inbound: "array[int]" = field(default_factory=ints)
    starts: "array[float]" = field(default_factory=floats)
    answered: "array[float]" = field(default_factory=floats)
    ends: "array[float]" = field(default_factory=floats)


@dataclass(frozen=True, slots=True)
class Floor:
    """Who is free, who waits, what is due, and what has happened so far."""

    centre: CallCentre
    book: PhoneBook
    places: tuple[Queue, ...]
    closes: float  # no call is placed from here on
    overflow: list[int | None]  # place → place
    home: dict[int, int]  # inbound number → place
    places_of: list[list[int]]  # user → places
    free: list[dict[int, None]]  # place → its free members, the longest idle first
    idle: set[int]  # all free users
    pause: Iterator[float]  # exponential, of mean one
    talk: Iterator[float]  # of mean one
    chance: Iterator[float]  # 0..1
    waiting: list[deque[int]]  # place → visits in order of entry, some of them over already
    due: list[tuple[float, int, int]] = field(default_factory=list)  # a heap: when, which event, user or visit
    visits: Visits = field(default_factory=Visits)
    user_calls: UserCalls = field(default_factory=UserCalls)


def open_floor(centre: CallCentre, book: PhoneBook, closes: float, seed: np.random.SeedSequence) -> Floor:
    """A floor where everyone is free and nothing has happened."""
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
    """What draws talk times of mean one."""
    if shape == "exponential":
        return random.standard_exponential
    return lambda size: random.lognormal(-(LOGNORMAL_SIGMA**2) / 2, LOGNORMAL_SIGMA, size)


def stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """Endless draws, one at a time at little more than the cost of drawing them together."""
    while True:
        yield from draw(4096).tolist()


def play(floor: Floor, until: float) -> None:
    """Let everything happen that is due, up to an instant."""
    due = floor.due
    while due and due[0][0] <= until:
        at, event, subject = heappop(due)
        EVENTS[event](floor, at, subject)


def arrive(floor: Floor, at: float, caller: int, number: int) -> None:
    """A caller rings a queue's or ring group's number."""
    enter(floor, at, floor.home[number], caller, number)


def enter(floor: Floor, at: float, place: int, caller: int, number: int) -> None:
    """A caller enters a queue or ring group; a free member's phone rings, or the caller waits."""
    visits, rules, free = floor.visits, floor.places[place], floor.free[place]
    visit = len(visits.place)
    patience = next(floor.pause) * rules.patience_seconds
    deadline = at + min(patience, rules.timeout_seconds)
    visits.place.append(place)
    visits.caller.append(caller)
    visits.number.append(number)
    visits.entered.append(at)
    visits.answered.append(at)
    visits.ends.append(deadline)
    visits.user.append(-1)
    visits.status.append(ABANDONED if patience < rules.timeout_seconds else TIMEDOUT)
    if free:
        user = next(iter(free))
        seize(floor, user)
        ring(floor, at, user, visit)
    else:
        floor.waiting[place].append(visit)
    if visits.user[visit] < 0 and deadline < math.inf:
        heappush(floor.due, (deadline, LEAVE, visit))


def ring(floor: Floor, at: float, user: int, visit: int) -> None:
    """Ring a seized user for a caller, until the answer or the caller's deadline; what comes of it is known at once."""
    visits, place = floor.visits, floor.visits.place[visit]
    # In a ring group the first of several to answer does so the sooner.
    phones = 1 + len(floor.free[place]) if place >= len(floor.centre.queues) else 1
    answered = at + next(floor.pause) * floor.centre.answer_seconds / phones
    ends = visits.ends[visit]
    if answered < ends:
        ends = answered + next(floor.talk) * floor.places[place].talk_seconds
        visits.answered[visit] = answered
        visits.ends[visit] = ends
        visits.user[visit] = user
        visits.status[visit] = ANSWERED
    note(floor, visits.caller[visit], visits.number[visit], user, 1, at, min(answered, ends), ends)
    heappush(floor.due, (ends, RELEASE, user))


def release(floor: Floor, at: float, user: int) -> None:
    """A user's call is over: the caller who waits longest in any of the user's places is next."""
    visits, longest = floor.visits, -1
    for place in floor.places_of[user]:
        line = floor.waiting[place]
        while line and visits.ends[line[0]] <= at:
            line.popleft()
        if line and (longest < 0 or line[0] < longest):  # visits count up in order of entry
            longest = line[0]
    if longest >= 0:
        floor.waiting[visits.place[longest]].popleft()
        ring(floor, at, user, longest)
        return
    floor.idle.add(user)
    for place in floor.places_of[user]:
        floor.free[place][user] = None


def leave(floor: Floor, at: float, visit: int) -> None:
    """A visit's deadline: unless answered by now, the caller goes on to the overflow, or is lost."""
    visits, centre = floor.visits, floor.centre
    if visits.user[visit] >= 0:
        return
    caller, onward = visits.caller[visit], floor.overflow[visits.place[visit]]
    if visits.status[visit] == TIMEDOUT and onward is not None:
        enter(floor, at, onward, caller, visits.number[visit])
        return
    if next(floor.chance) < centre.redial_share:
        heappush(floor.due, (at + next(floor.pause) * centre.redial_seconds, REDIAL, visit))
    if next(floor.chance) < centre.callback_share and caller < floor.book.first_anonymous:
        heappush(floor.due, (at + next(floor.pause) * centre.callback_seconds, CALL_BACK, visit))


def redial(floor: Floor, at: float, visit: int) -> None:
    """A lost caller rings the same number again."""
    if at < floor.closes:
        arrive(floor, at, floor.visits.caller[visit], floor.visits.number[visit])


def call_back(floor: Floor, at: float, visit: int) -> None:
    """A free member rings a lost caller; when all are busy it is forgotten."""
    free = floor.free[floor.visits.place[visit]]
    if free and at < floor.closes:
        dial(floor, at, floor.visits.caller[visit], next(iter(free)))


def ring_user(floor: Floor, at: float, caller: int, user: int) -> None:
    """Somebody outside rings a user's own number."""
    taken = user in floor.idle and next(floor.chance) < USER_ANSWERS
    converse(floor, at, caller, floor.book.first_direct + user, ((user, 1),), taken)


def dial(floor: Floor, at: float, called: int, user: int) -> None:
    """A user, if free, rings somebody outside."""
    if user in floor.idle:
        taken = next(floor.chance) < USER_ANSWERS
        converse(floor, at, floor.book.first_extension + user, called, ((user, 0),), taken)


def ring_colleague(floor: Floor, at: float, colleague: int, user: int) -> None:
    """A user, if free, rings another: a call in the lists of both."""
    if user in floor.idle and user != colleague:
        taken = colleague in floor.idle and next(floor.chance) < USER_ANSWERS
        first = floor.book.first_extension
        converse(floor, at, first + user, first + colleague, ((user, 0), (colleague, 1)), taken)


def converse(
    floor: Floor, at: float, caller: int, called: int, parties: tuple[tuple[int, int], ...], taken: bool
) -> None:
    """A call without a queue; `parties` are the users in it, each with whether the call is inbound there."""
    answered = at + next(floor.pause) * (floor.centre.answer_seconds if taken else UNANSWERED_SECONDS)
    ends = answered + (next(floor.talk) * floor.centre.user_talk_seconds if taken else 0.0)
    for user, is_inbound in parties:
        note(floor, caller, called, user, is_inbound, at, answered, ends)
        if taken or not is_inbound:
            seize(floor, user)
            heappush(floor.due, (ends, RELEASE, user))


def seize(floor: Floor, user: int) -> None:
    """A free user is free no longer."""
    floor.idle.remove(user)
    for place in floor.places_of[user]:
        del floor.free[place][user]


def note(
    floor: Floor, caller: int, called: int, user: int, is_inbound: int, at: float, answered: float, ends: float
) -> None:
    """Add a call to the users' list."""
    calls = floor.user_calls
    calls.caller.append(caller)
    calls.called.append(called)
    calls.user.append(user)
    calls.is_inbound.append(is_inbound)
    calls.starts.append(at)
    calls.answered.append(answered)
    calls.ends.append(ends)


RELEASE, LEAVE, REDIAL, CALL_BACK = range(4)
EVENTS: tuple[Callable[[Floor, float, int], None], ...] = (release, leave, redial, call_back)
