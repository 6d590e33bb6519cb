"""Faults of the simulated PBX on demand, by name, for tests and for `calls sandbox --fault`."""

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from math import ceil
from time import time
from typing import Any, Literal, get_args

import orjson

from pipelines.errors import UsageError
from pipelines.sandbox.http import JSON, Response
from pipelines.sandbox.responses import ENDPOINTS, LISTS, Style, WireRow, write_envelope

RetryForm = Literal["absent", "seconds", "date"]
HTML = ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<!DOCTYPE html>\n<html><head><title>PBX</title></head><body><h1>Please wait</h1></body></html>\n"
REFUSALS = ("400", "401", "404", "429")  # the PBX did nothing; above all, click-to-call rang nobody


@dataclass
class Fault:
    """A fault to come: it passes over `after` matching requests, then strikes the next `times` (None: all) of them.

    `endpoint` and `account` narrow the match. The other options each belong to some kinds: `code` of the 200 to
    "code"; `retry_after` in seconds and `retry_form` to "429"; `seconds` to "hang" and "drip"; `every` to row faults
    (one row in so many, chosen by content, so that a row is the same in every page); `mutate_rows`, from a page's rows
    to what is sent in their place, to "rows". Raises UsageError for options that do not fit.
    """

    kind: str
    times: int | None = 1
    after: int = 0
    endpoint: str | None = None
    account: str | None = None
    code: int = 0
    retry_after: float = 0.0
    retry_form: RetryForm = "absent"
    seconds: float = 30.0
    every: int = 1
    mutate_rows: Callable[[list[WireRow]], Sequence[object]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*KINDS, "rows"):
            raise UsageError(f"There is no fault {self.kind!r}. Choose one of: {', '.join(KINDS)}.")
        if self.endpoint not in (None, *ENDPOINTS):
            raise UsageError(f"There is no endpoint {self.endpoint!r}. Choose one of: {', '.join(ENDPOINTS)}.")
        if (
            self.retry_form not in get_args(RetryForm)
            or self.every < 1
            or (self.kind == "rows") != bool(self.mutate_rows)
        ):
            raise UsageError(f"The fault {self.kind!r} does not take these options.")

    def matches(self, endpoint: str, account: str) -> bool:
        """Count this request if it fits; return whether the fault may strike it."""
        fits = self.endpoint in (None, endpoint) and self.account in (None, account)
        if not fits or (self.kind not in ANSWER_FAULTS and endpoint not in LISTS):
            return False
        self.after -= 1
        return self.after < 0 and self.times != 0

    def mutate(self, rows: list[WireRow]) -> list[object]:
        """A page's rows after this row fault."""
        if self.mutate_rows:
            return list(self.mutate_rows(rows))
        change = ROW_FAULTS[self.kind]
        return [change(row) if _digest(row) % self.every == 0 else row for row in rows]

    def spoil(self, response: Response, style: Style) -> Response:
        """The response after this answer fault."""
        return ANSWER_FAULTS[self.kind](self, response, style)


def read_fault(text: str) -> Fault:
    """A fault in the command line's words: `429,retry_after=30,after=2,times=always,endpoint=queue_calls`.

    Raises UsageError.
    """
    kind, *options = text.split(",")
    given: dict[str, Any] = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            given[name] = None if option == "times=always" else OPTIONS[name](value)
        except (KeyError, ValueError):
            raise UsageError(f"{option!r} is not an option of a fault. Options: {', '.join(OPTIONS)}.") from None
    return Fault(kind, **given)


def find_strikes(faults: Sequence[Fault], endpoint: str, account: str) -> tuple[list[Fault], Fault | None]:
    """All row faults and the first answer fault that strike this request; counts one strike for each of them."""
    due = [fault for fault in faults if fault.matches(endpoint, account)]
    row_faults = [fault for fault in due if fault.kind not in ANSWER_FAULTS]
    answer_fault = next((fault for fault in due if fault.kind in ANSWER_FAULTS), None)
    for fault in [*row_faults, answer_fault] if answer_fault else row_faults:
        fault.times = fault.times and fault.times - 1
    return row_faults, answer_fault


def retry_headers(seconds: float, form: RetryForm) -> tuple[tuple[str, str], ...]:
    """The Retry-After header: whole seconds, rounded up, or the instant they lead to; none if `form` is "absent"."""
    if form == "absent":
        return ()
    return (
        ("Retry-After", str(ceil(seconds)) if form == "seconds" else formatdate(ceil(time() + seconds), usegmt=True)),
    )


def _digest(row: WireRow) -> int:
    return zlib.crc32(orjson.dumps(row, option=orjson.OPT_SORT_KEYS))


def _status(status: int, _fault: Fault, response: Response, style: Style) -> Response:
    return replace(response, status=status, body=write_envelope(style, status, []))


def _gateway(status: int, _fault: Fault, _response: Response, _style: Style) -> Response:
    return Response(status, PAGE, (HTML,))


def _too_many(fault: Fault, _response: Response, style: Style) -> Response:
    form = "seconds" if fault.retry_after and fault.retry_form == "absent" else fault.retry_form
    return Response(429, write_envelope(style, 429, []), (JSON, *retry_headers(fault.retry_after, form)))


def _data(data: object, _fault: Fault, response: Response, style: Style) -> Response:
    return replace(response, body=write_envelope(style, 200, data))


def _gzip(_fault: Fault, response: Response, _style: Style) -> Response:
    return replace(response, body=gzip.compress(response.body, 1), headers=(JSON, ("Content-Encoding", "gzip")))


ANSWER_FAULTS: Mapping[str, Callable[[Fault, Response, Style], Response]] = {
    **{str(status): partial(_status, status) for status in (400, 401, 404, 500)},
    **{str(status): partial(_gateway, status) for status in (502, 503, 504)},
    "429": _too_many,
    "code": lambda fault, response, style: replace(response, body=write_envelope(style, fault.code, [])),
    "redirect": lambda *_: Response(302, b"", (("Location", "/moved"),)),
    "html": lambda *_: Response(200, PAGE, (HTML,)),
    "bad_json": lambda _, response, __: replace(response, body=response.body[:-1]),
    "empty": lambda _, response, __: replace(response, body=b""),
    "string": lambda _, response, __: replace(response, body=b'"success"'),
    "data_null": partial(_data, None),
    "data_object": partial(_data, {"rows": 0}),
    "gzip": _gzip,
    "truncated": lambda _, response, __: replace(response, delivery="truncated"),
    "reset": lambda _, response, __: replace(response, delivery="reset"),
    "hang": lambda fault, response, __: replace(response, delivery="hang", seconds=fault.seconds),
    "drip": lambda fault, response, __: replace(response, delivery="drip", seconds=fault.seconds),
}
ROW_FAULTS: Mapping[str, Callable[[WireRow], object]] = {
    "no_start": lambda row: row | {"call_start_at": None},
    "garbage_start": lambda row: row | {"call_start_at": "2026-02-31T25:61:00"},
    "text_numbers": lambda row: {name: str(v) if isinstance(v, int) else v for name, v in row.items()},
    "float_numbers": lambda row: {name: float(v) if isinstance(v, int) else v for name, v in row.items()},
    "true_flags": lambda row: {name: bool(v) if name == "is_inbound" else v for name, v in row.items()},
    "lists": lambda row: {name: [v] if isinstance(v, str) else v for name, v in row.items()},
    "unknown_fields": lambda row: row | {"unique_call_id": None, "recording": {"kept": True}},
    "not_objects": lambda _: "row",
}
OPTIONS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("times", "after", "code", "every"), int),
    **dict.fromkeys(("endpoint", "account", "retry_form"), str),
    **dict.fromkeys(("retry_after", "seconds"), float),
}
KINDS = (*ANSWER_FAULTS, *ROW_FAULTS)
