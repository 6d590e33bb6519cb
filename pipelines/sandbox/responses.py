"""What the simulated PBX sends: its endpoints, instants, envelopes and codes.

Source: the vendor's article on version 1 of its API and, for what it leaves open, clients of the live service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson

from pipelines.time_zones import read_zone

WireRow = dict[str, object]  # one call of a list, by the API's field names
Instants = npt.NDArray[np.datetime64]

PREFIX = "/api/integration/v1/"
MEANINGS: Mapping[int, str] = {
    0: "Unknown error",
    200: "Success",
    400: "Parameters error",
    401: "Authorization error",
    402: "Your licence does not include this feature",
    404: "Tenant not found",
    405: "Method not allowed",
    429: "Too Many Requests",
    500: "Internal server error",
}


@dataclass(frozen=True)
class Style:
    """How one PBX writes what the article leaves open.

    envelope: "data" is `{"code", "data", "message": {"status"}}`; "status" is `{"status", "message", "code", "data"}`;
        "bare" is only the list, and `{"code", "message"}` for an error.
    instants: "offset" and "naive" are local time in `timezone`; "Z" and "Z_millis" are UTC. In "naive", the two passes
        of the autumn hour look the same. "Z_millis" always has milliseconds, the others only if they are not 0.
    day_filter: the zone whose midnights `from_date` and `to_date` mean.
    to_date: whether the list includes the day `to_date` itself.
    """

    envelope: Literal["data", "status", "bare"] = "data"
    instants: Literal["offset", "Z", "Z_millis", "naive"] = "Z_millis"
    day_filter: Literal["local", "UTC"] = "local"
    to_date: Literal["inclusive", "exclusive"] = "inclusive"
    timezone: str = "Australia/Sydney"


@dataclass(frozen=True)
class Endpoint:
    """One path of the API. A list of calls also has a parameter that filters by the names in one field."""

    path: str
    method: Literal["GET", "POST"] = "GET"
    names_parameter: str = ""
    names_field: str = ""


ENDPOINTS: Mapping[str, Endpoint] = {
    "user_calls": Endpoint("get-user-calls", "GET", "users_names", "user_name"),
    "queue_calls": Endpoint("get-queue-calls", "GET", "queues_names", "queue_name"),
    "ringgroup_calls": Endpoint("get-ringgroup-calls", "GET", "ringgroups_names", "ring_group_name"),
    "system_status": Endpoint("get-system-status"),
    "call_to_number": Endpoint("call-to-number", "POST"),
}
LISTS = tuple(name for name, endpoint in ENDPOINTS.items() if endpoint.names_field)
BY_PATH: Mapping[str, str] = {PREFIX + endpoint.path: name for name, endpoint in ENDPOINTS.items()}


def write_instants(instants: Instants, style: Style) -> list[str | None]:
    """UTC instants (datetime64[ms]) as this PBX writes them; NaT becomes None."""
    shown, suffix = instants, np.array("Z")
    if style.instants in ("offset", "naive"):
        offsets, suffix = _offsets(instants, style.timezone)
        shown = instants + offsets
    text = np.datetime_as_string(shown, unit="ms")
    if style.instants != "Z_millis":
        whole = instants == instants.astype("datetime64[s]")
        text = text.astype("U19") if whole.all() else np.where(whole, text.astype("U19"), text)
    values = (text if style.instants == "naive" else np.char.add(text, suffix)).astype(object)
    values[np.isnat(instants)] = None
    written: list[str | None] = values.tolist()
    return written


def write_envelope(style: Style, code: int, data: object, text: str = "") -> bytes:
    """The JSON body for `data` with `code`, in this PBX's envelope; `text` explains an error."""
    text = text or MEANINGS.get(code, MEANINGS[0])
    if style.envelope == "bare":
        return orjson.dumps(data if code == 200 else {"code": code, "message": text})
    if style.envelope == "data":
        status = "success" if code == 200 else text
        return orjson.dumps({"code": code, "data": data, "message": {"status": status}})
    status = "success" if code == 200 else "error"
    return orjson.dumps({"status": status, "message": text, "code": code, "data": data})


def _offsets(instants: Instants, timezone: str) -> tuple[npt.NDArray[np.timedelta64], npt.NDArray[np.str_]]:
    """For each instant the offset from UTC, and this as text."""
    # Since 1972 every zone changes its offset on a quarter of an hour in UTC, so one look-up per quarter is enough.
    seconds = np.where(np.isnat(instants), 0, instants.astype("datetime64[s]").astype(np.int64))
    quarters, places = np.unique(seconds // 900, return_inverse=True)
    offsets = [_offset_at(quarter, timezone) for quarter in quarters.tolist()]
    texts = [f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" for minutes in offsets]
    return np.array(offsets, "timedelta64[m]")[places], np.array(texts, "U6")[places]


@lru_cache(maxsize=200_000)
def _offset_at(quarter: int, timezone: str) -> int:
    offset = datetime.fromtimestamp(quarter * 900, read_zone(timezone)).utcoffset()
    return int(offset.total_seconds() // 60) if offset else 0
