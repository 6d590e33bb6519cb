"""A seeded call centre that gives the PBX's three lists of calls, consistent with each other.

Data flow: `parameters` (the centre) → `arrivals` (Poisson, by hour of the local week) → `events` on a `floor` (who
waits, who talks) → `tables` (Arrow, newest first).
"""

import math

import numpy as np
import pyarrow as pa

from pipelines.sandbox.callcentre.arrivals import DIRECT, INTERNAL, OUTBOUND, VISIT, draw_arrivals, open_span
from pipelines.sandbox.callcentre.events import dial, enter_by_number, play, ring_colleague, ring_user
from pipelines.sandbox.callcentre.floor import open_floor
from pipelines.sandbox.callcentre.parameters import CallCentre, Queue
from pipelines.sandbox.callcentre.phone_book import write_phone_book
from pipelines.sandbox.callcentre.staff import staffed
from pipelines.sandbox.callcentre.tables import user_call_table, visit_table

__all__ = ["CallCentre", "Queue", "simulate", "staffed"]

BEGIN = {VISIT: enter_by_number, DIRECT: ring_user, OUTBOUND: dial, INTERNAL: ring_colleague}


def simulate(centre: CallCentre) -> dict[str, pa.Table]:
    """Simulate the centre's days and return "user_calls", "queue_calls" and "ringgroup_calls".

    Columns are the API's fields in its order. Instants are UTC `timestamp[us]` of whole seconds. Rows are newest first
    by `call_start_at`. Every call has ended; all are placed within the days, and a few end, or go on to an overflow,
    after them. Users call from their extensions; callers who hide their number show 'anonymous', 'private' or ''.
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
        "user_calls": user_call_table(floor, opens),
        "queue_calls": visit_table(floor, opens, "queue_name", range(queues)),
        "ringgroup_calls": visit_table(floor, opens, "ring_group_name", range(queues, places)),
    }
