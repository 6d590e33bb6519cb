"""What no message may hold, and how a command's end is checked: its code, its words, and no secret among them."""

import re

from tests.support.site import Ran

KEY = "k3y-that-nobody-may-see-9876543210"
NUMBERS = re.compile(rb"\+?(?:61255550|6125550|614915700|442079460|155501)\d{2,4}")  # of sandbox and tests
LONG_NUMBER = re.compile(r"\d{7}")


def assert_told(ran: Ran, code: int, *words: str) -> None:
    """It ended with this code and a message with these words, without a traceback, the key or a phone number."""
    assert ran.code == code, ran.err
    said = ran.out + ran.err
    assert "Traceback" not in said
    assert KEY not in said
    assert not LONG_NUMBER.search(said), said
    for word in words:
        assert word in ran.err, ran.err
