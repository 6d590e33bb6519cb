"""A seeded call centre, told as the PBX's three lists of calls, which agree with each other.

Data flow: arrivals by hour of the local week, Poisson → floor (who waits, who talks) → Arrow tables, newest first.
"""

import math
from collections.abc import Iterator
from datetime import datetime, time, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.sandbox.callcentre import floor as events
from pipelines.sandbox.callcentre.floor import Floor, open_floor, play
from pipelines.sandbox.callcentre.parameters import ANONYMOUS, CallCentre, PhoneBook, Queue, staffed, write_phone_book
from pipelines.time_zones import read_zone

__all__ = ["CallCentre", "Queue", "simulate", "staffed"]

SLOT_SECONDS = 900  # every zone's offset is a multiple of it, so local hours begin at a slot
INSTANT = pa.timestamp("us", tz="UTC")
STATUSES = ("answered", "abandoned", "timedout")  # by the floor's codes
VISIT, DIRECT, OUTBOUND, INTERNAL = range(4)
BEGIN = (events.arrive, events.ring_user, events.dial, events.ring_colleague)


def simulate(centre: CallCentre) -> dict[str, pa.Table]:
    """Simulate the centre's days and return "user_calls", "queue_calls" and "ringgroup_calls".

    Columns are the API's fields in its order; instants are UTC `timestamp[us]` of whole seconds; rows are newest first
    by `call_start_at`. Every call has ended: all are placed within the days, a few end (or overflow) after them.
    Users' numbers are extensions in the calls they make; callers who hide theirs show 'anonymous', 'private' or ''.
    """
    centre = staffed(centre)
    book = write_phone_book(centre)
    opens, closes = open_span(centre)
    drawing, playing = np.random.SeedSequence(centre.seed).spawn(2)
    floor = open_floor(centre, book, float(closes - opens), playing)
    for at, kind, other, target in draw_arrivals(centre, book, np.random.default_rng(drawing)):
        play(floor, at)
        BEGIN[kind](floor, at, other, target)
    play(floor, math.inf)
    queues, places = len(centre.queues), len(centre.places)
    return {
        "user_calls": tell_user_calls(floor, opens),
        "queue_calls": tell_visits(floor, opens, "queue_name", range(queues)),
        "ringgroup_calls": tell_visits(floor, opens, "ring_group_name", range(queues, places)),
    }


def open_span(centre: CallCentre) -> tuple[int, int]:
    """The first instant of the centre's days and the first after them, in Unix seconds."""
    zone = read_zone(centre.timezone)
    midnights = (centre.first_day, centre.first_day + timedelta(days=centre.days))
    first, last = (int(datetime.combine(day, time(), zone).timestamp()) for day in midnights)
    return first, last


def draw_arrivals(
    centre: CallCentre, book: PhoneBook, random: np.random.Generator
) -> Iterator[tuple[float, int, int, int]]:
    """Draw all calls that start of themselves, in order of time.

    Yields (seconds since the first day began, kind, other party, target). For a VISIT the other party is a number of
    the phone book and the target the inbound number; else the target is a user, and so is an INTERNAL call's other.
    """
    kinds, volumes = list_streams(centre)
    at = draw_times(centre, sum(volumes), random)
    stream = random.choice(len(volumes), size=len(at), p=np.array(volumes) / sum(volumes))
    kind = np.array(kinds)[stream]
    user, colleague = random.integers(max(len(centre.users), 1), size=(2, len(at)))
    caller = random.integers(book.first_anonymous, size=len(at))
    hidden = (random.random(len(at)) < centre.anonymous_share) & (kind != OUTBOUND)
    caller[hidden] = book.first_anonymous + random.integers(len(ANONYMOUS), size=np.count_nonzero(hidden))
    other = np.where(kind == INTERNAL, colleague, caller)
    target = np.where(kind == VISIT, book.first_inbound + stream, user)
    return zip(at.tolist(), kind.tolist(), other.tolist(), target.tolist(), strict=True)


def list_streams(centre: CallCentre) -> tuple[list[int], list[float]]:
    """Kind and volume, beside `calls_per_day`, of all that arrives: by inbound number, then the users' own calls."""
    queued = sum(queue.share for queue in centre.queues)
    volumes = [place.share / queued / len(place.numbers) for place in centre.places for _ in place.numbers]
    kinds = [VISIT] * len(volumes) + [DIRECT, OUTBOUND, INTERNAL]
    return kinds, [*volumes, centre.direct_share, centre.outbound_share, centre.internal_share]


def draw_times(centre: CallCentre, volume: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Arrival times, sorted, in seconds since the first day began; `volume` multiplies `calls_per_day`."""
    zone = read_zone(centre.timezone)
    slots = range(*open_span(centre), SLOT_SECONDS)
    local = (datetime.fromtimestamp(slot, zone) for slot in slots)
    weights = np.array([centre.hour_weights[24 * hour.weekday() + hour.hour] for hour in local])
    calls_per_hour = centre.calls_per_day * volume / (sum(centre.hour_weights[:120]) / 5)
    counts = random.poisson(weights * calls_per_hour * SLOT_SECONDS / 3600)
    slot = np.repeat(np.arange(len(slots)), counts)
    return np.sort((slot + random.random(len(slot))) * SLOT_SECONDS)


def tell_user_calls(floor: Floor, opens: int) -> pa.Table:
    """The users' calls as the API tells them."""
    calls = floor.user_calls
    starts = np.asarray(calls.starts)
    order = np.argsort(-starts)
    start, answer, end = (
        whole_seconds(np.asarray(column)[order], opens) for column in (starts, calls.answered, calls.ends)
    )
    numbers = pa.array(floor.book.numbers, pa.string())
    return pa.table(
        {
            "from_number": numbers.take(pa.array(np.asarray(calls.caller)[order])),
            "to_number": numbers.take(pa.array(np.asarray(calls.called)[order])),
            "user_name": pa.array(floor.centre.users, pa.string()).take(pa.array(np.asarray(calls.user)[order])),
            "is_inbound": pa.array(np.asarray(calls.is_inbound)[order]),
            "call_start_at": instants(start),
            "call_duration": pa.array(end - start),
            "call_finished_at": instants(end),
            "conversation_duration": pa.array(end - answer),
        }
    )


def tell_visits(floor: Floor, opens: int, name_field: str, places: range) -> pa.Table:
    """The visits to some places (positions) as the API tells them."""
    visits = floor.visits
    entered, place = np.asarray(visits.entered), np.asarray(visits.place)
    chosen = np.flatnonzero((place >= places.start) & (place < places.stop))
    order = chosen[np.argsort(-entered[chosen])]
    start, answer, end = (
        whole_seconds(np.asarray(column)[order], opens) for column in (entered, visits.answered, visits.ends)
    )
    user = np.asarray(visits.user)[order]
    names = pa.array([place.name for place in floor.places], pa.string())
    numbers = pa.array(floor.book.numbers, pa.string())
    return pa.table(
        {
            name_field: names.take(pa.array(place[order])),
            "callerid": numbers.take(pa.array(np.asarray(visits.caller)[order])),
            "inbound_number": numbers.take(pa.array(np.asarray(visits.number)[order])),
            "call_start_at": instants(start),
            "call_answered_at": instants(answer, user < 0),
            "call_finished_at": instants(end),
            "answered_by_user_name": pa.array(floor.centre.users, pa.string()).take(pa.array(user, mask=user < 0)),
            "status": pa.array(STATUSES).take(pa.array(np.asarray(visits.status)[order])),
        }
    )


def whole_seconds(at: NDArray[np.float64], opens: int) -> NDArray[np.int64]:
    """Seconds since the first day began, as whole Unix seconds."""
    return np.floor(at).astype(np.int64) + opens


def instants(unix_seconds: NDArray[np.int64], absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """Unix seconds as UTC timestamps, null where `absent`."""
    return pa.array(unix_seconds * 1_000_000, INSTANT, mask=absent)
