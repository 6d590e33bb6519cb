"""The simulated calls as the API's tables: its fields in its order, newest first."""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.sandbox.callcentre.floor import Floor

INSTANT = pa.timestamp("us", tz="UTC")
STATUSES = ("answered", "abandoned", "timedout")  # by the floor's codes
USER_CALL = attrgetter("starts", "answered", "ends", "caller", "called", "user", "is_inbound")
VISIT = attrgetter("entered", "answered", "ends", "caller", "number", "user", "place", "status")


def user_call_table(floor: Floor, opens: int) -> pa.Table:
    """The users' calls; `opens` is the Unix second at which the first day began."""
    found = [USER_CALL(call) for call in floor.user_calls]
    start, answer, end, caller, called, user, is_inbound = newest_first(found, 7)
    numbers = pa.array(floor.book.numbers, pa.string())
    return pa.table(
        {
            "from_number": numbers.take(pa.array(caller)),
            "to_number": numbers.take(pa.array(called)),
            "user_name": pa.array(floor.centre.users, pa.string()).take(pa.array(user)),
            "is_inbound": pa.array(is_inbound),
            "call_start_at": instants(start, opens),
            "call_duration": pa.array(end - start),
            "call_finished_at": instants(end, opens),
            "conversation_duration": pa.array(end - answer),
        }
    )


def visit_table(floor: Floor, opens: int, name_field: str, places: range) -> pa.Table:
    """The visits to the places at these positions; `opens` is the Unix second at which the first day began."""
    found = [VISIT(visit) for visit in floor.visits if visit.place in places]
    start, answer, end, caller, number, user, place, status = newest_first(found, 8)
    numbers = pa.array(floor.book.numbers, pa.string())
    return pa.table(
        {
            name_field: pa.array([place.name for place in floor.places], pa.string()).take(pa.array(place)),
            "callerid": numbers.take(pa.array(caller)),
            "inbound_number": numbers.take(pa.array(number)),
            "call_start_at": instants(start, opens),
            "call_answered_at": instants(answer, opens, user < 0),
            "call_finished_at": instants(end, opens),
            "answered_by_user_name": pa.array(floor.centre.users, pa.string()).take(pa.array(user, mask=user < 0)),
            "status": pa.array(STATUSES).take(pa.array(status)),
        }
    )


def newest_first(rows: Sequence[tuple[float, ...]], width: int) -> NDArray[np.int64]:
    """The columns of `rows`, whose first is the start; instants are rounded down to whole seconds."""
    columns = np.array(rows, float).reshape(-1, width).T
    whole: NDArray[np.int64] = np.floor(columns[:, np.argsort(-columns[0])]).astype(np.int64)
    return whole


def instants(seconds: NDArray[np.int64], opens: int, absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """Seconds since the first day began as UTC timestamps, null where `absent`."""
    return pa.array((seconds + opens) * 1_000_000, INSTANT, mask=absent)
