"""The simulated PBX itself: accounts, their lists of calls, and how each request is answered."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Self

import numpy as np

from pipelines.errors import UsageError
from pipelines.sandbox.account import Account
from pipelines.sandbox.call_list import MovingList
from pipelines.sandbox.clock import PbxClock, as_datetimes
from pipelines.sandbox.faults import REFUSALS, Fault, find_strikes, retry_headers
from pipelines.sandbox.http import JSON, Listener, Request, Response
from pipelines.sandbox.request_log import Arrival, most_within, spend
from pipelines.sandbox.requests import PageQuery, Query, Refused, read_request
from pipelines.sandbox.responses import BY_PATH, LISTS, Style, WireRow, write_envelope, write_instants


class SimulatedPBX:
    """Serves `accounts` at `base_url` while its context is open, on `port` of 127.0.0.1 (0: any free one).

    clock: lists are as of its instant, unfinished calls included. Without a clock all calls are there and have ended.
    latency_seconds: how long each response waits; with `random_latency`, a random part of it.
    after_request: called for each request, in the connection's thread, between the making of the response and its
        sending. It may change the lists.

    `arrivals` are the requests so far; `rings` the calls that click-to-call started: (account, user_number,
    number_to_call). In every method `account` is a name; None is the first account. Raises UsageError if accounts
    share a name or a key, and on entering if `port` is taken.
    """

    def __init__(
        self,
        *accounts: Account,
        port: int = 0,
        clock: PbxClock | None = None,
        latency_seconds: float = 0.0,
        random_latency: bool = False,
        seed: int = 0,
        after_request: Callable[[Arrival], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accounts = {account.name: account for account in accounts}
        if len(self.accounts) < len(accounts) or len({account.key for account in accounts}) < len(accounts):
            raise UsageError("Each account needs a name and a key of its own.")
        self.base_url = ""
        self.arrivals: list[Arrival] = []
        self.rings: list[tuple[str, str, str]] = []
        self.faults: list[Fault] = []
        self.after_request = after_request
        self.latency_seconds, self.random_latency = latency_seconds, random_latency
        self._port, self._clock, self._monotonic = port, clock, monotonic
        self._random = np.random.default_rng(seed)
        self._windows: defaultdict[str, deque[float]] = defaultdict(deque)  # arrivals that count now, by account
        self._lock, self._stopping = threading.RLock(), threading.Event()
        self._lists = {
            (name, endpoint): MovingList(account.tables.get(endpoint, ()))
            for name, account in self.accounts.items()
            for endpoint in LISTS
        }

    def __enter__(self) -> Self:
        try:
            self._listener = Listener(self._handle, self._port, self._stopping)
        except OSError as error:
            text = f"Port {self._port} of 127.0.0.1 cannot be used ({error.strerror}). Choose another one."
            raise UsageError(text) from error
        self.base_url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    def most_in_window(self, seconds: float, account: str | None = None) -> int:
        """The largest number of requests that arrived within any span of `seconds` (account None: of all accounts)."""
        return most_within(seconds, [a.at for a in list(self.arrivals) if account in (None, a.account)])

    def spend(self, requests: int, account: str | None = None) -> None:
        """Use up budget, as another program with the same key would."""
        owner = self._account(account)
        with self._lock:
            for _ in range(requests):
                self._spend(owner, self._monotonic())

    def records(self, endpoint: str, account: str | None = None, at: datetime | None = None) -> list[WireRow]:
        """The true rows now (or at `at`), newest first, with instants as UTC datetimes, unchanged by any fault.

        Without a clock and without `at`, a row's index is its position for `remove` and `replace`.
        """
        with self._lock:
            calls, at = self._list(endpoint, account), at or self._now()
            return calls.read(calls.find(at=at), at, as_datetimes)

    def insert(self, endpoint: str, *rows: Mapping[str, object], account: str | None = None) -> None:
        """Insert rows by their starts, above rows with the same start."""
        with self._lock:
            self._list(endpoint, account).insert(rows)

    def remove(self, endpoint: str, *positions: int, account: str | None = None) -> None:
        """Remove rows by position from the newest."""
        with self._lock:
            self._list(endpoint, account).remove(positions)

    def replace(self, endpoint: str, position: int, row: Mapping[str, object], account: str | None = None) -> None:
        """Replace the row at `position` by `row`."""
        with self._lock:
            self._list(endpoint, account).replace(position, row)

    def duplicate(self, endpoint: str, every: int = 1, account: str | None = None) -> None:
        """Repeat every `every`-th row."""
        with self._lock:
            self._list(endpoint, account).duplicate(every)

    def fault(self, kind: str, **options: object) -> Fault:
        """Add a fault of `kind`, which strikes once unless `times` says otherwise; options are `Fault`'s fields."""
        return self.add_fault(Fault(kind, **options))  # type: ignore[arg-type]  # Fault checks them

    def add_fault(self, fault: Fault) -> Fault:
        """Add a fault. Raises UsageError if its account does not exist."""
        if fault.account not in (None, *self.accounts):
            raise UsageError(f"There is no account {fault.account!r}. Choose one of: {', '.join(self.accounts)}.")
        with self._lock:
            self.faults.append(fault)
        return fault

    def _account(self, name: str | None) -> Account:
        return self.accounts[name] if name else next(iter(self.accounts.values()))

    def _list(self, endpoint: str, account: str | None) -> MovingList:
        return self._lists[self._account(account).name, endpoint]

    def _spend(self, account: Account, at: float) -> float:
        return spend(self._windows[account.name], at, account.requests, account.window_seconds)

    def _now(self) -> datetime | None:
        return self._clock() if self._clock else None

    def _handle(self, request: Request) -> Response:
        key = request.headers.get("token", "")
        account = next((account for account in self.accounts.values() if account.key == key), None)
        name = account.name if account else "#" + sha256(key.encode()).hexdigest()[:12]
        endpoint, style = BY_PATH.get(request.path, request.path), account.style if account else Style()
        with self._lock:
            arrival = Arrival(self._monotonic(), name, endpoint, dict(request.parameters))
            self.arrivals.append(arrival)
            wait_seconds = self._spend(account, arrival.at) if account else 0.0
            share = self._random.random() if self.random_latency else 1.0
        self._stopping.wait(self.latency_seconds * share)
        try:
            with self._lock:
                account, query = read_request(request, endpoint, account, wait_seconds)
                response = self._respond(endpoint, account, query)
        except Refused as refused:
            form = account.retry_form if account and refused.code == 429 else "absent"
            body = write_envelope(style, refused.code, [], refused.text)
            response = Response(refused.code, body, (JSON, *retry_headers(wait_seconds, form)))
        arrival.status = None if response.delivery in ("reset", "hang") else response.status
        if self.after_request:
            self.after_request(arrival)
        return response

    def _respond(self, endpoint: str, account: Account, query: Query) -> Response:
        row_faults, fault = find_strikes(self.faults, endpoint, account.name)
        data: object = []
        if not (fault and fault.kind in REFUSALS):
            data = self._data(endpoint, account, query)
        for row_fault in row_faults:
            data = row_fault.mutate(data) if isinstance(data, list) else data
        response = Response(200, write_envelope(account.style, 200, data))
        return fault.spoil(response, account.style) if fault else response

    def _data(self, endpoint: str, account: Account, query: Query) -> object:
        if isinstance(query, PageQuery):
            calls, at = self._list(endpoint, account.name), self._now()
            found = calls.find(query.since, query.until, at, query.named)
            shuffle = self._random if account.shuffle_ties else None
            page = calls.page(found, query.offset, query.limit, shuffle)
            return calls.read(page, at, partial(write_instants, style=account.style))
        if isinstance(query, tuple):
            self.rings.append((account.name, *query))
            return []
        return account.system_status
