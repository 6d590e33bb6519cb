"""The wire: the PBX's API over httpx. Token, codes → exceptions, retries, click-to-call.

Every request takes a slot of the budget, each retry too. The key travels in the `token` header and nowhere else; no
redirect is followed, so it never reaches another host. Knows HTTP; knows nothing of what is done with the records.

Source: the vendor's article, version 1 (`/api/integration/v1`), and what public clients of the live service show.
"""

import logging
import re
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx
from msgspec import Raw
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from pipelines.budget import Budget, Usage
from pipelines.errors import (
    BudgetSpent,
    CallsError,
    KeyRefused,
    MayHaveRung,
    PbxUnavailable,
    SettingsError,
    UnexpectedPayload,
)
from pipelines.phone_numbers import parse_number
from pipelines.voipcloud.responses import Data, check_list, decode, read_envelope

PATHS = {
    "user_calls": "get-user-calls",
    "queue_calls": "get-queue-calls",
    "ringgroup_calls": "get-ringgroup-calls",
    "system_status": "get-system-status",
    "dial": "call-to-number",
}
NAMES_PARAMETER = {"user_calls": "users_names", "queue_calls": "queues_names", "ringgroup_calls": "ringgroups_names"}
MAX_LIMIT = 10_000
MAX_BODY_BYTES = 256 * 2**20  # fifty times a full page
MAX_RETRY_AFTER_SECONDS = 86_400.0  # a longer one is a mistake, and would silence the pipeline
PASSING = (httpx.TransportError, PbxUnavailable, UnexpectedPayload)  # what may pass by itself in seconds

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO


@cache
def tls_context() -> ssl.SSLContext:
    """What certificates are trusted: read once, for all accounts."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True)
class Access:
    """How to reach one PBX; the key is not shown in its repr."""

    account: str
    base_url: str
    api_key: str = field(repr=False)
    timeout_seconds: float = 60.0
    window_seconds: float = 900.0  # how long a 429 without `Retry-After` closes the window
    attempts: int = 3


class Client(AbstractContextManager["Client"]):
    """One PBX. Raises the errors of `pipelines.errors`; a request that finds no slot raises `BudgetSpent`."""

    def __init__(self, access: Access, budget: Budget) -> None:
        self._access = access
        self._budget = budget
        self.clock_skew_seconds: float | None = None  # the PBX's clock less ours, by its last answer
        self._http = httpx.Client(
            base_url=f"{access.base_url.rstrip('/')}/api/integration/v1/",
            headers={"token": access.api_key, "accept": "application/json"},
            timeout=access.timeout_seconds,
            follow_redirects=False,
            verify=tls_context(),
            trust_env=False,  # a proxy from the environment would see the key, a .netrc would add another
        )

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def usage(self) -> Usage:
        """Where the budget of the key stands."""
        return self._budget.usage()

    def fetch_calls(
        self, endpoint: str, *, from_date: str, to_date: str, names: str, limit: int, offset: int
    ) -> list[Raw]:
        """One page of a list, newest first, each record as its JSON text. Dates are `Y-m-d` or '' for any time."""
        asked = {"from_date": from_date, "to_date": to_date, NAMES_PARAMETER[endpoint]: names}
        params = {name: value for name, value in asked.items() if value} | {"limit": str(limit), "offset": str(offset)}
        data = self._retrying(lambda: self._ask(endpoint, "GET", params=params))
        return check_list(data, self._whom(endpoint))

    def fetch_system_status(self) -> Any:
        """What the NOC reports, as the wire's own JSON: the article names no fields."""
        return decode(self._retrying(lambda: self._ask("system_status", "GET")), self._whom("system_status"))

    def call_to_number(self, user_number: str, number_to_call: str) -> None:
        """Rings the user, then the number. Sent once, never again: a lost answer raises `MayHaveRung`."""
        user, number = parse_number(user_number, "USER"), parse_number(number_to_call, "NUMBER")
        form = {"user_number": (None, user), "number_to_call": (None, number)}  # multipart fields, as clients send them
        try:
            self._ask("dial", "POST", files=form, interactive=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise PbxUnavailable(f"{self._whom('dial')} could not be reached; nothing rang. Try again.") from None
        except (httpx.TransportError, PbxUnavailable, UnexpectedPayload, KeyboardInterrupt) as error:
            raise MayHaveRung(
                f"{self._whom('dial')} gave no clear answer ({_short(error)}), so the phones may have rung. It was not "
                "repeated: look at the phone before dialling again."
            ) from None

    def _retrying(self, ask: Callable[[], Data]) -> Data:
        try:
            return Retrying(
                retry=retry_if_exception_type(PASSING),
                stop=stop_after_attempt(self._access.attempts),
                wait=wait_exponential(multiplier=0.5, max=8) + wait_random(0, 1),
                reraise=True,
            )(ask)
        except httpx.TransportError as error:
            raise PbxUnavailable(
                f"{self._access.account}: the PBX at {self._http.base_url.host} did not answer in "
                f"{self._access.attempts} attempts ({_short(error)}). Check base_url and the network, or run later."
            ) from None

    def _ask(self, name: str, method: str, *, interactive: bool = False, **request: Any) -> Data:
        with self._budget.slot(interactive=interactive):
            response, body = self._send(method, PATHS[name], request)
        code = response.status_code
        if code == httpx.codes.OK:
            code, data = read_envelope(body, self._whom(name))
            if code == httpx.codes.OK:
                return data
        raise self._error(name, code, response.headers, body)

    def _send(self, method: str, path: str, request: dict[str, Any]) -> tuple[httpx.Response, bytes]:
        """One request, within `timeout_seconds` in all and not only between two bytes."""
        deadline = time.monotonic() + self._access.timeout_seconds
        body = bytearray()
        try:
            with self._http.stream(method, path, **request) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise UnexpectedPayload(
                            f"{self._access.account}: the PBX sent more than {MAX_BODY_BYTES >> 20} MiB in one answer."
                        )
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the answer took too long")
        except httpx.DecodingError:
            raise UnexpectedPayload(f"{self._access.account}: the PBX sent a body that cannot be unpacked.") from None
        sent_at = parse_date(response.headers.get("date"))
        self.clock_skew_seconds = None if sent_at is None else sent_at - time.time()
        return response, bytes(body)

    def _error(self, name: str, status: int, headers: httpx.Headers, body: bytes) -> CallsError:
        """The one place where an answer's code becomes an error."""
        whom = self._whom(name)
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return self._blocked(headers)
        if status == httpx.codes.PAYMENT_REQUIRED or (name == "dial" and b"licen" in body.lower()):
            return KeyRefused(f"{whom}: the account's licence does not include this. Ask the PBX's support to add it.")
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return KeyRefused(
                f"{whom} refused the request ({status}). It answers a wrong key and an address that is not allowed "
                "alike: check api_key, and in the PBX under Settings, Integrations, API, add this machine's public "
                "address to Whitelisted IPs and apply the configuration."
            )
        if status in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND):
            return SettingsError(
                f"{whom} answered {status}: it does not know what was asked for. Check base_url (the PBX's own host), "
                "and the names filters if any are set."
            )
        if 300 <= status < 400:
            return SettingsError(
                f"{whom} sends requests on to another address ({status}), which is not followed because the key would "
                "go there too. Set base_url to the PBX's own address."
            )
        if 0 < status < 500:
            return UnexpectedPayload(f"{whom} answered with the unknown code {status}.")
        return PbxUnavailable(f"{whom} answered with an error of its own ({status}). Run again later.")

    def _blocked(self, headers: httpx.Headers) -> BudgetSpent:
        """A 429: somebody else spends from this key too, so the window is full for every process."""
        sent_at = parse_date(headers.get("date"))  # a date counts on the clock that wrote it
        seconds = parse_retry_after(headers.get("retry-after", ""), time.time() if sent_at is None else sent_at)
        self._budget.block(self._access.window_seconds if seconds is None else seconds)
        until = self._budget.usage().next_at or time.time()
        return BudgetSpent(
            f"{self._access.account}: the PBX says that the budget of this key is spent (429), though this ledger had "
            "requests left: another program or host uses the same key. No request leaves before the PBX allows it.",
            until,
        )

    def _whom(self, name: str) -> str:
        return f"{self._access.account}: the PBX at {self._http.base_url.host} ({PATHS[name]})"


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a `Retry-After` of seconds or of a date; None if it is absent or cannot be read."""
    until = now + float(value) if value.strip().isdecimal() else parse_date(value)
    return None if until is None else min(max(until - now, 1.0), MAX_RETRY_AFTER_SECONDS)


def parse_date(value: str | None) -> float | None:
    """An HTTP date as Unix seconds; None if it is absent or cannot be read."""
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError, OverflowError):
        return None


def _short(error: BaseException | None) -> str:
    """An error's kind: its text may hold the URL."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
