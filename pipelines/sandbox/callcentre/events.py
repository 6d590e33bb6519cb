"""What happens in a call centre: callers wait, users talk, lost callers ring again. An event loop over a floor.

A caller in a queue or ring group waits for the member who has been idle longest, until the caller's patience or the
place's time-out ends. At the time-out the caller goes on to the overflow. A user is in one call at a time.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from pipelines.sandbox.callcentre.floor import Floor, UserCall, Visit

ANSWERED, ABANDONED, TIMEDOUT = range(3)
USER_ANSWERS = 0.8  # share of answered calls, of those to a free user and of those that users make
UNANSWERED_SECONDS = 20.0  # mean ringing time of unanswered calls


def play(floor: Floor, until: float) -> None:
    """Run all events that are due until an instant, inclusive."""
    due = floor.due
    while due and due[0][0] <= until:
        at, event, subject = heappop(due)
        EVENTS[event](floor, at, subject)


def enter_by_number(floor: Floor, at: float, caller: int, number: int) -> None:
    """A caller rings the number of a queue or ring group."""
    enter(floor, at, floor.home[number], caller, number)


def enter(floor: Floor, at: float, place: int, caller: int, number: int) -> None:
    """A caller enters a queue or ring group. A free member's phone rings, or the caller waits."""
    rules, free = floor.places[place], floor.free[place]
    patience = next(floor.pause) * rules.patience_seconds
    status = ABANDONED if patience < rules.timeout_seconds else TIMEDOUT
    visit = Visit(at, place, caller, number, at + min(patience, rules.timeout_seconds), status)
    floor.visits.append(visit)
    if free:
        user = next(iter(free))
        seize(floor, user)
        ring(floor, at, user, visit)
    else:
        floor.waiting[place].append(visit)
    if visit.user < 0 and visit.ends < math.inf:
        heappush(floor.due, (visit.ends, LEAVE, visit))


def ring(floor: Floor, at: float, user: int, visit: Visit) -> None:
    """Ring a seized user for a caller until the answer or the caller's deadline; the outcome is drawn at once."""
    # In a ring group several phones ring, and the first answer of several comes sooner.
    phones = 1 + len(floor.free[visit.place]) if visit.place >= len(floor.centre.queues) else 1
    answered = at + next(floor.pause) * floor.centre.answer_seconds / phones
    if answered < visit.ends:
        visit.answered, visit.user, visit.status = answered, user, ANSWERED
        visit.ends = answered + next(floor.talk) * floor.places[visit.place].talk_seconds
    ends = visit.ends
    floor.user_calls.append(UserCall(visit.caller, visit.number, user, 1, at, min(answered, ends), ends))
    heappush(floor.due, (ends, RELEASE, user))


def release(floor: Floor, at: float, user: int) -> None:
    """A user's call ends. The caller who has waited longest in any of the user's places is next."""
    lines = [floor.waiting[place] for place in floor.places_of[user]]
    for line in lines:
        while line and line[0].ends <= at:
            line.popleft()
    if waiting := [line for line in lines if line]:
        ring(floor, at, user, min(waiting, key=itemgetter(0)).popleft())
        return
    floor.idle.add(user)
    for place in floor.places_of[user]:
        floor.free[place][user] = None


def leave(floor: Floor, at: float, visit: Visit) -> None:
    """A visit's deadline. A caller not answered by now goes on to the overflow, or is lost."""
    centre, onward = floor.centre, floor.overflow[visit.place]
    if visit.user >= 0:
        return
    if visit.status == TIMEDOUT and onward is not None:
        enter(floor, at, onward, visit.caller, visit.number)
        return
    if next(floor.chance) < centre.redial_share:
        heappush(floor.due, (at + next(floor.pause) * centre.redial_seconds, REDIAL, visit))
    if next(floor.chance) < centre.callback_share and visit.caller < floor.book.first_anonymous:
        heappush(floor.due, (at + next(floor.pause) * centre.callback_seconds, CALL_BACK, visit))


def redial(floor: Floor, at: float, visit: Visit) -> None:
    """A lost caller rings the same number again."""
    if at < floor.closes:
        enter_by_number(floor, at, visit.caller, visit.number)


def call_back(floor: Floor, at: float, visit: Visit) -> None:
    """A free member rings a lost caller; if all are busy, nobody does."""
    free = floor.free[visit.place]
    if free and at < floor.closes:
        dial(floor, at, visit.caller, next(iter(free)))


def ring_user(floor: Floor, at: float, caller: int, user: int) -> None:
    """A caller from outside rings a user's own number."""
    taken = user in floor.idle and next(floor.chance) < USER_ANSWERS
    converse(floor, at, caller, floor.book.first_direct + user, ((user, 1),), taken)


def dial(floor: Floor, at: float, called: int, user: int) -> None:
    """A user, if free, rings a number outside."""
    if user in floor.idle:
        taken = next(floor.chance) < USER_ANSWERS
        converse(floor, at, floor.book.first_extension + user, called, ((user, 0),), taken)


def ring_colleague(floor: Floor, at: float, colleague: int, user: int) -> None:
    """A user, if free, rings another user: one call in the list of each."""
    if user in floor.idle and user != colleague:
        taken = colleague in floor.idle and next(floor.chance) < USER_ANSWERS
        first = floor.book.first_extension
        converse(floor, at, first + user, first + colleague, ((user, 0), (colleague, 1)), taken)


def converse(
    floor: Floor, at: float, caller: int, called: int, parties: tuple[tuple[int, int], ...], taken: bool
) -> None:
    """A call without a queue. `parties` are its users, each with 1 if the call is inbound for them, else 0."""
    answered = at + next(floor.pause) * (floor.centre.answer_seconds if taken else UNANSWERED_SECONDS)
    ends = answered + (next(floor.talk) * floor.centre.user_talk_seconds if taken else 0.0)
    for user, is_inbound in parties:
        floor.user_calls.append(UserCall(caller, called, user, is_inbound, at, answered, ends))
        if taken or not is_inbound:
            seize(floor, user)
            heappush(floor.due, (ends, RELEASE, user))


def seize(floor: Floor, user: int) -> None:
    """Mark a free user as busy."""
    floor.idle.remove(user)
    for place in floor.places_of[user]:
        del floor.free[place][user]


RELEASE, LEAVE, REDIAL, CALL_BACK = range(4)
EVENTS: tuple[Callable[[Floor, float, Any], None], ...] = (release, leave, redial, call_back)
