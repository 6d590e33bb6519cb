"""Calls that start by themselves: Poisson arrivals, with rates by the hour of the local week."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.parameters import CallCentre
from pipelines.sandbox.callcentre.phone_book import ANONYMOUS, PhoneBook
from pipelines.time_zones import read_zone

SLOT_SECONDS = 900  # the offset of every zone is a multiple of it, so each local hour begins with a slot
VISIT, DIRECT, OUTBOUND, INTERNAL = range(4)


def open_span(centre: CallCentre) -> tuple[int, int]:
    """The first instant of the centre's days and the first instant after them, in Unix seconds."""
    zone = read_zone(centre.timezone)
    midnights = (centre.first_day, centre.first_day + timedelta(days=centre.days))
    first, last = (int(datetime.combine(day, time(), zone).timestamp()) for day in midnights)
    return first, last


def draw_arrivals(
    centre: CallCentre, book: PhoneBook, random: np.random.Generator
) -> Iterator[tuple[float, int, int, int]]:
    """Draw all calls that start by themselves, in order of time.

    Yields (seconds since the first day began, kind, other party, target). For a VISIT the target is an inbound number,
    else a user. The other party is a user for an INTERNAL call, else a number of the phone book.
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
    """Kind and volume, relative to `calls_per_day`, of each stream: one per inbound number, then the users' calls."""
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
