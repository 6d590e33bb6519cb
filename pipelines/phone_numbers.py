"""Phone numbers as people write them: parsed for dialling, masked for showing."""

import re

from pipelines.errors import UsageError

NUMBER = re.compile(r"\+?[0-9*#]{2,20}")
PHONE = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d\b)\+?\d(?:[\s().\-]*\d){5,}")  # six digits or more, but no date


def parse_number(text: str, what: str) -> str:
    """A number to dial, without the spaces, dots, dashes and brackets people write. Raises `UsageError`."""
    number = re.sub(r"[\s().\-]", "", text)
    if not NUMBER.fullmatch(number):
        raise UsageError(
            f"{what} cannot be dialled: it has to be 2 to 20 digits, * or #, with or without a + before them."
        )
    return number


def mask_number(number: str) -> str:
    """A number as it may be shown: its last two digits."""
    return number if len(number) <= 4 else f"…{number[-2:]}"


def mask_numbers(text: str) -> str:
    """A text with every phone number in it masked; dates stay."""
    return PHONE.sub(lambda found: mask_number(found[0]), text)
