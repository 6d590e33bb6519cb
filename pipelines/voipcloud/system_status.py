"""What the PBX's operator (NOC) reports of its system. The vendor's article names no fields."""

from typing import Any

import orjson

from pipelines.errors import UnexpectedPayload
from pipelines.phone_numbers import mask_numbers

GOOD_WORDS = {"ok", "operational", "up", "online", "normal", "green", "available", "success", "none"}
LONGEST_WORD = 80  # characters shown


def describe_status(payload: Any, account: str) -> tuple[str | None, str]:
    """The status in a word (None if it has none), and the whole answer as JSON. Raises `UnexpectedPayload`."""
    try:
        return _status_word(payload), orjson.dumps(payload).decode()
    except (TypeError, RecursionError):
        raise UnexpectedPayload(f"{account}: the system status is nested too deep to be kept.") from None


def is_good(word: str | None) -> bool:
    """Whether nothing in the word says that calls may be missing."""
    return word is None or word.lower() in GOOD_WORDS


def _status_word(payload: Any) -> str | None:
    if isinstance(payload, str):
        return mask_numbers("".join(filter(str.isprintable, payload))[:LONGEST_WORD])
    if isinstance(payload, list):
        return _status_word(payload[0]) if payload else None
    if isinstance(payload, dict):
        for name in ("status", "system_status", "state", "indicator"):
            if payload.get(name) is not None:
                return _status_word(payload[name])
    return None
