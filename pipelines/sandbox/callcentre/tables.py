"""The simulated calls as the API's tables: its fields in its order, newest first."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.floor import Floor

INSTANT = pa.timestamp("us", tz="UTC")
STATUSES = ("answered", "abandoned", "timedout")  # by the floor's codes


def user_call_table(floor: Floor, opens: int) -> pa.Table:
    """The users' calls; `opens` is the Unix second at which the first day began."""
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


def visit_table(floor: Floor, opens: int, name_field: str, places: range) -> pa.Table:
    """The visits to the places at these positions; `opens` is the Unix second at which the first day began."""
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
    """Seconds since the first day began, as Unix seconds, rounded down."""
    return np.floor(at).astype(np.int64) + opens


def instants(unix_seconds: NDArray[np.int64], absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """Unix seconds as UTC timestamps, null where `absent`."""
    return pa.array(unix_seconds * 1_000_000, INSTANT, mask=absent)
