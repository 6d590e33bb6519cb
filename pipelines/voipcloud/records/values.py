"""One wire value → its type, without loss: the rules for what is taken although it is typed wrongly."""

import re
from typing import Any

import pyarrow as pa

WHOLE = re.compile(r"\s*-?[0-9]{1,19}\s*")  # no longer than int64 can be


def parse_value(name: str, kind: pa.DataType, value: Any) -> str | int | bool | None:
    """The value of the field `name` as Python's `kind`; an instant stays a text.

    Raises `ValueError` with the reason, which never quotes the value: it may be a phone number.
    """
    is_text, is_flag = pa.types.is_string(kind), pa.types.is_boolean(kind)
    if value is None or (value == "" and not is_text):
        return None
    if is_text or pa.types.is_timestamp(kind):
        if isinstance(value, str):
            return value
        if is_text and type(value) is int:
            return str(value)
        raise ValueError(f"{name} is not a text")
    number = _whole_number(value)
    if number is None or not -(2**63) <= number < 2**63 or (is_flag and number not in (0, 1)):
        raise ValueError(f"{name} is not {'0 or 1' if is_flag else 'a whole number'}")
    if is_flag:
        return bool(number)
    if isinstance(value, bool):
        raise ValueError(f"{name} is not a whole number")
    return number


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    return None
