"""What can go wrong with a PBX, on demand: each fault by name, for tests and for `calls sandbox --fault`."""

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
from pipelines.sandbox.http import JSON, Answer
from pipelines.sandbox.responses import ENDPOINTS, LISTS, Row, Style, write_envelope

RetryForm = Literal["absent", "seconds", "date"]
HTML = ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<!DOCTYPE html>\n<html><head><title>PBX</title></head><body><h1>Please wait</h1></body></html>\n"
REFUSALS = ("400", "401", "404", "429")  # the PBX did nothing: above all, it rang nobody


@dataclass
class Fault:
    """A fault on its way: after `after` requests that match it strikes the next `times` (None: all).

    `endpoint` and `account` narrow what matches. Each kind takes what it needs of the rest: "code" the `code` in its
    200; "429" `retry_after` seconds and their form; "hang" and "drip" `seconds`; row faults `every`, one row in so
    many, chosen by content, so the same in every page; "rows" a function from a page's rows to what is sent for them.
    Raises UsageError for what cannot be.
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
    mutate_rows: Callable[[list[Row]], Sequence[object]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*KINDS, "rows"):
            raise UsageError(f"There is no fault {self.kind!r}. There are: {', '.join(KINDS)}.")
        if self.endpoint not in (None, *ENDPOINTS):
            raise UsageError(f"There is no endpoint {self.endpoint!r}. There are: {', '.join(ENDPOINTS)}.")
        if (
            self.retry_form not in get_args(RetryForm)
            or self.every < 1
            or (self.kind == "rows") != bool(self.mutate_rows)
        ):
            raise UsageError(f"The fault {self.kind!r} cannot be had with those options.")

    def meets(self, endpoint: str, account: str) -> bool:
        """Whether it is due at this request of an account, which it counts."""
        fits = self.endpoint in (None, endpoint) and self.account in (None, account)
        if not fits or (self.kind not in ANSWER_FAULTS and endpoint not in LISTS):
            return False
        self.after -= 1
        return self.after < 0 and self.times != 0

    def mutate(self, rows: list[Row]) -> list[object]:
        """The rows of a page as a row fault makes them."""
        if self.mutate_rows:
            return list(self.mutate_rows(rows))
        change = ROW_FAULTS[self.kind]
        return [change(row) if _digest(row) % self.every == 0 else row for row in rows]

    def spoil(self, answer: Answer, style: Style) -> Answer:
        """The answer as an answer fault makes it."""
        return ANSWER_FAULTS[self.kind](self, answer, style)


def read_fault(text: str) -> Fault:
    """A fault as the command line gives it: `429,retry_after=30,after=2,times=always,endpoint=queue_calls`.

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
    """The faults that strike this request, one strike counted for each: all those of rows, the first of the answer."""
    due = [fault for fault in faults if fault.meets(endpoint, account)]
    rows = [fault for fault in due if fault.kind not in ANSWER_FAULTS]
    answer = next((fault for fault in due if fault.kind in ANSWER_FAULTS), None)
    for fault in [*rows, answer] if answer else rows:
        fault.times = fault.times and fault.times - 1
    return rows, answer


def retry_headers(seconds: float, form: RetryForm) -> tuple[tuple[str, str], ...]:
    """The Retry-After header, in whole seconds rounded up, or as the instant that gives."""
    if form == "absent":
        return ()
    return (
        ("Retry-After", str(ceil(seconds)) if form == "seconds" else formatdate(ceil(time() + seconds), usegmt=True)),
    )


def _digest(row: Row) -> int:
    return zlib.crc32(orjson.dumps(row, option=orjson.OPT_SORT_KEYS))


def _answer(status: int, _fault: Fault, answer: Answer, style: Style) -> Answer:
    return replace(answer, status=status, body=write_envelope(style, status, []))


def _gateway(status: int, _fault: Fault, _answer: Answer, _style: Style) -> Answer:
    return Answer(status, PAGE, (HTML,))


def _too_many(fault: Fault, _answer: Answer, style: Style) -> Answer:
    form = "seconds" if fault.retry_after and fault.retry_form == "absent" else fault.retry_form
    return Answer(429, write_envelope(style, 429, []), (JSON, *retry_headers(fault.retry_after, form)))


def _data(data: object, _fault: Fault, answer: Answer, style: Style) -> Answer:
    return replace(answer, body=write_envelope(style, 200, data))


def _gzip(_fault: Fault, answer: Answer, _style: Style) -> Answer:
    return replace(answer, body=gzip.compress(answer.body, 1), headers=(JSON, ("Content-Encoding", "gzip")))


ANSWER_FAULTS: Mapping[str, Callable[[Fault, Answer, Style], Answer]] = {
    **{str(status): partial(_answer, status) for status in (400, 401, 404, 500)},
    **{str(status): partial(_gateway, status) for status in (502, 503, 504)},
    "429": _too_many,
    "code": lambda fault, answer, style: replace(answer, body=write_envelope(style, fault.code, [])),
    "redirect": lambda *_: Answer(302, b"", (("Location", "/moved"),)),
    "html": lambda *_: Answer(200, PAGE, (HTML,)),
    "bad_json": lambda _, answer, __: replace(answer, body=answer.body[:-1]),
    "empty": lambda _, answer, __: replace(answer, body=b""),
    "string": lambda _, answer, __: replace(answer, body=b'"success"'),
    "data_null": partial(_data, None),
    "data_object": partial(_data, {"rows": 0}),
    "gzip": _gzip,
    "truncated": lambda _, answer, __: replace(answer, delivery="truncated"),
    "reset": lambda _, answer, __: replace(answer, delivery="reset"),
    "hang": lambda fault, answer, __: replace(answer, delivery="hang", seconds=fault.seconds),
    "drip": lambda fault, answer, __: replace(answer, delivery="drip", seconds=fault.seconds),
}
ROW_FAULTS: Mapping[str, Callable[[Row], object]] = {
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
