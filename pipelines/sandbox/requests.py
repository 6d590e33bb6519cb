"""Strict checks of a request to the simulated PBX, and what it asks for."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email import message_from_bytes
from urllib.parse import parse_qsl

from pipelines.sandbox.account import Account
from pipelines.sandbox.http import Request
from pipelines.sandbox.responses import ENDPOINTS, LISTS, Endpoint, Style
from pipelines.time_zones import read_zone

RANGES = {"limit": (1, 10_000, 100), "offset": (0, 10**12, 0)}  # least, most, default
DIAL_FIELDS = ("user_number", "number_to_call")


@dataclass(eq=False)
class Refused(Exception):
    """The PBX answers with `code` and `text` (empty: the code's usual text)."""

    code: int
    text: str = ""


@dataclass(frozen=True)
class PageQuery:
    """A page of the calls that start in [since, until). `named` is a field and the names it may have; None: any."""

    since: datetime | None
    until: datetime | None
    limit: int
    offset: int
    named: tuple[str, tuple[str, ...]] | None


Query = PageQuery | tuple[str, str] | None  # a page of calls, the two numbers of a click-to-call, or no parameters


def read_request(
    request: Request, endpoint: str, account: Account | None, wait_seconds: float
) -> tuple[Account, Query]:
    """The account and what it asks for. Raises Refused; the checks come in the PBX's order.

    `wait_seconds` are left until the account's budget has room.
    """
    if "api_key" in dict((*request.parameters, *read_form(request))):
        raise Refused(400, "Parameters error: api_key is no longer taken, send the key in the token header")
    if account is None or not account.whitelisted:
        raise Refused(401)
    if wait_seconds > 0:
        raise Refused(429)
    if endpoint not in ENDPOINTS:
        raise Refused(404, "Not found")
    if request.method != ENDPOINTS[endpoint].method:
        raise Refused(405)
    if endpoint in LISTS:
        return account, read_page_query(request.parameters, ENDPOINTS[endpoint], account.style)
    if endpoint == "system_status":
        _once_each(request.parameters, set())
        return account, None
    numbers = read_numbers(request)
    if not account.licensed:
        raise Refused(402)
    return account, numbers


def read_page_query(parameters: Sequence[tuple[str, str]], endpoint: Endpoint, style: Style) -> PageQuery:
    """What the parameters of a list's query ask for. Raises Refused 400 for any that the article does not allow."""
    given = _once_each(parameters, {"from_date", "to_date", "limit", "offset", endpoint.names_parameter})
    first, last = _day(given, "from_date"), _day(given, "to_date")
    if first and last and first > last:
        raise Refused(400, "Parameters error: from_date is after to_date")
    zone = read_zone(style.timezone) if style.day_filter == "local" else UTC
    names = given.get(endpoint.names_parameter, "")
    return PageQuery(
        since=_midnight(first, zone),
        until=_midnight(last and last + timedelta(days=style.to_date == "inclusive"), zone),
        limit=_number(given, "limit"),
        offset=_number(given, "offset"),
        named=(endpoint.names_field, tuple(names.split(","))) if names else None,
    )


def read_numbers(request: Request) -> tuple[str, str]:
    """The two numbers of a click-to-call's form. Raises Refused 400."""
    if request.parameters:
        raise Refused(400, "Parameters error: send the numbers as form fields, not in the address")
    given = _once_each(read_form(request), set(DIAL_FIELDS))
    missing = [name for name in DIAL_FIELDS if not given.get(name)]
    if missing:
        raise Refused(400, f"Parameters error: {missing[0]} is required")
    return given["user_number"], given["number_to_call"]


def read_form(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, urlencoded or multipart; empty for another body."""
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("application/x-www-form-urlencoded"):
        return parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
    if not kind.startswith("multipart/form-data"):
        return []
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body)
    parts = [part for part in message.walk() if not part.is_multipart()]
    fields = [(part.get_param("name", "", "content-disposition"), part.get_payload(decode=True)) for part in parts]
    return [(str(name), value.decode(errors="replace") if isinstance(value, bytes) else "") for name, value in fields]


def _once_each(parameters: Sequence[tuple[str, str]], known: set[str]) -> Mapping[str, str]:
    given = dict(parameters)
    unknown = sorted(set(given) - known)
    if unknown:
        raise Refused(400, f"Parameters error: {unknown[0]} is not a parameter here")
    if len(given) < len(parameters):
        raise Refused(400, "Parameters error: a parameter is given twice")
    return given


def _day(given: Mapping[str, str], name: str) -> date | None:
    text = given.get(name)
    if not text:
        return None
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if str(day) == text:  # Python reads other ISO forms too
            return day
    raise Refused(400, f"Parameters error: {name} must be a day as Y-m-d")


def _number(given: Mapping[str, str], name: str) -> int:
    least, most, default = RANGES[name]
    text = given.get(name, str(default))
    if re.fullmatch(r"\d{1,12}", text, re.ASCII) and least <= int(text) <= most:
        return int(text)
    raise Refused(400, f"Parameters error: {name} must be a whole number from {least} to {most}")


def _midnight(day: date | None, zone: tzinfo) -> datetime | None:
    return datetime.combine(day, time(), zone).astimezone(UTC) if day else None
