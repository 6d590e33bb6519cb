"""A strict simulated PBX on 127.0.0.1: the API over real HTTP, for tests, `calls sandbox`, `calls demo` and benchmarks.

sockets ─Request→ questions → moving lists → wire ─Answer→ faults → sockets
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Self

import numpy as np

from pipelines.errors import UsageError
from pipelines.sandbox.account import Account
from pipelines.sandbox.call_list import MovingList
from pipelines.sandbox.clock import Clock
from pipelines.sandbox.faults import REFUSALS, Fault, find_strikes, read_fault, retry_headers
from pipelines.sandbox.http import JSON, Answer, Listener, Request
from pipelines.sandbox.request_log import Arrival, Tally, most_within
from pipelines.sandbox.requests import Asked, Question, Refused, read_request
from pipelines.sandbox.responses import BY_PATH, LISTS, Row, Style, write_envelope, write_instants
from pipelines.sandbox.rows import as_datetimes


class SimulatedPBX:
    """Serves `accounts` while entered as a context; `base_url` is where, `arrivals` what came, `rings` (account,
    user_number, number_to_call) what click-to-call began.

    `clock`: lists are as of its now, with calls going on; without it everything is there and over. Answers wait for
    `latency_seconds`, or for a random part of it with `random_latency`. `after_request` is called for each request once
    its answer is settled and before it leaves, in the connection's thread: it may change the lists.
    `account` is everywhere a name, None the first one. Raises UsageError for accounts that share a name or a key;
    entering raises OSError when `port` (0: a free one) is taken.
    """

    def __init__(
        self,
        *accounts: Account,
        port: int = 0,
        clock: Clock | None = None,
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
        self.rings: list[tuple[str, str, str]] = []
        self.faults: list[Fault] = []
        self.after_request = after_request
        self.latency_seconds, self.random_latency = latency_seconds, random_latency
        self._port, self._clock, self._monotonic = port, clock, monotonic
        self._random = np.random.default_rng(seed)
        self._tally = Tally()
        self._lock, self._stopping = threading.RLock(), threading.Event()
        self._lists = {
            (name, endpoint): MovingList(account.tables.get(endpoint, ()))
            for name, account in self.accounts.items()
            for endpoint in LISTS
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to serve."""
        self._listener = Listener(self._handle, self._port, self._stopping)
        self.base_url = f"http://127.0.0.1:{self._listener.port}"

    def stop(self) -> None:
        """Close every connection, whatever it is doing, and end every thread."""
        self._listener.stop()

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request seen, in order of arrival."""
        return self._tally.arrivals

    def most_in_window(self, seconds: float, account: str | None = None) -> int:
        """The greatest number of requests that arrived within any span of `seconds` (None: of all accounts)."""
        arrivals = list(self.arrivals)
        return most_within(seconds, [a.at for a in arrivals if account in (None, a.account)])

    def spend(self, requests: int, account: str | None = None) -> None:
        """Use up budget as another program with the same key would."""
        owner = self._account(account)
        with self._lock:
            for _ in range(requests):
                self._spend(owner, self._monotonic())

    def records(self, endpoint: str, account: str | None = None, at: datetime | None = None) -> list[Row]:
        """The truth: the rows there now (or `at`), newest first, instants as UTC datetimes, before any fault.

        Without a clock and `at`, the place of a row is its position for `remove` and `replace`.
        """
        with self._lock:
            calls, at = self._list(endpoint, account), at or self._now()
            return calls.read(calls.find(at=at), at, as_datetimes)

    def insert(self, endpoint: str, *rows: Mapping[str, object], account: str | None = None) -> None:
        """Put rows where their starts belong, above those that start at the same instant."""
        with self._lock:
            self._list(endpoint, account).insert(rows)

    def remove(self, endpoint: str, *positions: int, account: str | None = None) -> None:
        """Take rows out, by position from the newest."""
        with self._lock:
            self._list(endpoint, account).remove(positions)

    def replace(self, endpoint: str, position: int, row: Mapping[str, object], account: str | None = None) -> None:
        """Put `row` in place of the one at `position`."""
        with self._lock:
            self._list(endpoint, account).replace(position, row)

    def duplicate(self, endpoint: str, every: int = 1, account: str | None = None) -> None:
        """Let every `every`-th row stand twice."""
        with self._lock:
            self._list(endpoint, account).duplicate(every)

    def fault(self, kind: str, **options: object) -> Fault:
        """Let a fault of `kind` strike, once unless `times` says otherwise; options are `Fault`'s fields."""
        return self.add_fault(Fault(kind, **options))  # type: ignore[arg-type]  # Fault checks them

    def add_fault(self, fault: Fault) -> Fault:
        """Let `fault` strike. Raises UsageError for an account that there is not."""
        if fault.account not in (None, *self.accounts):
            raise UsageError(f"There is no account {fault.account!r}. There are: {', '.join(self.accounts)}.")
        with self._lock:
            self.faults.append(fault)
        return fault

    def _account(self, name: str | None) -> Account:
        return self.accounts[name] if name else next(iter(self.accounts.values()))

    def _list(self, endpoint: str, account: str | None) -> MovingList:
        return self._lists[self._account(account).name, endpoint]

    def _spend(self, account: Account, at: float) -> float:
        return self._tally.spend(account.name, at, account.requests, account.window_seconds)

    def _now(self) -> datetime | None:
        return self._clock() if self._clock else None

    def _handle(self, request: Request) -> Answer:
        key = request.headers.get("token", "")
        account = next((account for account in self.accounts.values() if account.key == key), None)
        name = account.name if account else "#" + sha256(key.encode()).hexdigest()[:12]
        endpoint, style = BY_PATH.get(request.path, request.path), account.style if account else Style()
        with self._lock:
            arrival = Arrival(self._monotonic(), name, endpoint, dict(request.parameters))
            self._tally.arrivals.append(arrival)
            wait_seconds = self._spend(account, arrival.at) if account else 0.0
            share = self._random.random() if self.random_latency else 1.0
        self._stopping.wait(self.latency_seconds * share)
        try:
            with self._lock:
                account, asked = read_request(request, endpoint, account, wait_seconds)
                answer = self._answer(endpoint, account, asked)
        except Refused as refused:
            form = account.retry_form if account and refused.code == 429 else "absent"
            body = write_envelope(style, refused.code, [], refused.text)
            answer = Answer(refused.code, body, (JSON, *retry_headers(wait_seconds, form)))
        arrival.status = None if answer.delivery in ("reset", "hang") else answer.status
        if self.after_request:
            self.after_request(arrival)
        return answer

    def _answer(self, endpoint: str, account: Account, asked: Asked) -> Answer:
        row_faults, fault = find_strikes(self.faults, endpoint, account.name)
        data: object = []
        if not (fault and fault.kind in REFUSALS):
            data = self._data(endpoint, account, asked)
        for row_fault in row_faults:
            data = row_fault.mutate(data) if isinstance(data, list) else data
        answer = Answer(200, write_envelope(account.style, 200, data))
        return fault.spoil(answer, account.style) if fault else answer

    def _data(self, endpoint: str, account: Account, asked: Asked) -> object:
        if isinstance(asked, Question):
            calls, at = self._list(endpoint, account.name), self._now()
            found = calls.find(asked.since, asked.until, at, asked.named)
            shuffle = self._random if account.shuffle_ties else None
            page = calls.page(found, asked.offset, asked.limit, shuffle)
            return calls.read(page, at, partial(write_instants, style=account.style))
        if isinstance(asked, tuple):
            self.rings.append((account.name, *asked))
            return []
        return account.system_status


@contextmanager
def serving(
    accounts: Iterable[Account],
    *,
    port: int = 8765,
    clock: Clock | None = None,
    latency_seconds: float = 0.0,
    random_latency: bool = False,
    faults: Iterable[str] = (),
    on_request: Callable[[Arrival], None] | None = None,
) -> Iterator[SimulatedPBX]:
    """`calls sandbox`: a PBX that serves until the context ends; `faults` as `read_fault` takes them.

    `on_request` is told of each request, in the connection's thread. Raises UsageError for a fault that there is not,
    accounts that share a key, and a port that is taken.
    """
    pbx = SimulatedPBX(
        *accounts,
        port=port,
        clock=clock,
        latency_seconds=latency_seconds,
        random_latency=random_latency,
        after_request=on_request,
    )
    for text in faults:
        pbx.add_fault(read_fault(text))
    try:
        pbx.start()
    except OSError as error:
        text = f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}). Choose another one."
        raise UsageError(text) from error
    try:
        yield pbx
    finally:
        pbx.stop()
