"""An answer's body → its code and its data: `{"code", "data", "message"}`, those at top level, or a bare list.

The records of a list stay JSON texts: taking a page apart is five times faster than decoding it, and what one record
holds cannot spoil the others.
"""

import json
from typing import Any

import msgspec
import orjson
from msgspec import Raw

from pipelines.errors import UnexpectedPayload

Data = list[Raw] | Raw


class Page(msgspec.Struct):
    """An answer's outermost object, where its data is a list. What else it holds (`message`, `status`) is not read."""

    data: list[Raw]
    code: Raw = Raw(b"200")


class Answer(msgspec.Struct):
    """The same, whatever its data is."""

    data: Raw = Raw()
    code: Raw = Raw(b"200")


PAGE, ANSWER, LIST = msgspec.json.Decoder(Page), msgspec.json.Decoder(Answer), msgspec.json.Decoder(list[Raw])


def read_envelope(body: bytes, whom: str) -> tuple[int, Data]:
    """The code (200 if there is none) and the data (the whole object if it has none).

    Raises `UnexpectedPayload`, naming `whom`, for anything else.
    """
    try:
        try:
            body.decode()
            answer = _read_answer(body)
        except ValueError:  # one bad text among the records, or worse
            answer = _read_leniently(body)
        code = orjson.loads(bytes(answer.code))
        if isinstance(code, str) and code.isdecimal():
            code = int(code)  # a ValueError if it is thousands of digits long
    except RecursionError:
        raise UnexpectedPayload(f"{whom} sent JSON that is nested too deep to be read.") from None
    except ValueError:  # not JSON, or not an object
        raise UnexpectedPayload(f"{whom} {_complaint(body)}") from None
    if not isinstance(code, int) or isinstance(code, bool):
        raise UnexpectedPayload(f"{whom} sent {_kind(code)} as its code.")
    return code, answer.data or Raw(body) if isinstance(answer, Answer) else answer.data


def _read_answer(body: bytes) -> Page | Answer:
    if body.lstrip()[:1] == b"[":
        return Page(LIST.decode(body))
    try:
        return PAGE.decode(body)
    except msgspec.ValidationError:
        return ANSWER.decode(body)


def _read_leniently(body: bytes) -> Page | Answer:
    """The same if a text is not Unicode, such as one cut within a character: only its record is refused, later.

    Raises `ValueError` for what is not JSON even so.
    """
    found = json.loads(body.decode("utf-8", "surrogateescape"), strict=False)
    if not isinstance(found, dict | list):
        raise ValueError
    data, code = (found, 200) if isinstance(found, list) else (found.get("data", found), found.get("code", 200))
    if isinstance(data, list):
        return Page([_raw(record) for record in data], _raw(code))
    return Answer(_raw(data), _raw(code))


def _raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def check_list(data: Data, whom: str) -> list[Raw]:
    """The data as a list of records. Raises `UnexpectedPayload`."""
    if isinstance(data, list):
        return data
    raise UnexpectedPayload(f"{whom} sent {_kind(decode(data, whom))} where a list of calls belongs.")


def decode(data: Data, whom: str) -> Any:
    """The data as Python has it. Raises `UnexpectedPayload` if it cannot be read."""
    try:
        return [orjson.loads(bytes(item)) for item in data] if isinstance(data, list) else orjson.loads(bytes(data))
    except orjson.JSONDecodeError:
        raise UnexpectedPayload(f"{whom} sent JSON that cannot be read.") from None


def _complaint(body: bytes) -> str:
    text = body.strip()
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        what = "a web page" if text[:1] == b"<" else "broken JSON" if text else "an empty answer"
        return f"sent {what} instead of JSON. Check that base_url is the PBX itself and not a portal or a proxy."
    return f"sent {_kind(found)} where an object or a list belongs."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
