"""What the tests of the load share: a simulated PBX over HTTP, a user's settings and state, a DuckDB warehouse."""

import io
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.cli.main import main
from pipelines.load.account import LoadOptions, LoadResult, Observer, load_account
from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import WireRow
from pipelines.sandbox.server import SimulatedPBX
from pipelines.voipcloud.schemas import ENDPOINTS, FIELDS, FLAG
from pipelines.voipcloud.settings import read_accounts
from pipelines.warehouse import read_target

RAW = (*ENDPOINTS, "rejected_records", "unplaced_records", "loaded_days", "lists", "accounts", "system_status")
CALLS = str(Path(sys.executable).with_name("calls"))
SECTION = "SOURCES__VOIPCLOUD__"
Calls = Counter[tuple[object, ...]]
MINE = ("SOURCES__", "DESTINATION__", "CALLS_")  # prefixes of the variables that the settings are read from


@dataclass(frozen=True)
class Ran:
    """What a command said and ended with."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    """One user: a PBX on loopback; settings in the environment; state, warehouse and working folder in `folder`."""

    pbx: SimulatedPBX
    folder: Path
    set_setting: Callable[[str, str], None]  # for example ("start_date", "2026-01-01")

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    def load(self, account: str = "main", *, clock: Callable[[], float] = time.time, **options: Any) -> LoadResult:
        """One account's load, in this process; `options` as the fields of `LoadOptions`."""
        (found,) = read_accounts((account,))
        return load_account(found, read_target("duckdb"), LoadOptions(**options), Observer(), clock=clock)

    def run(self, *arguments: str) -> Ran:
        """`calls …` in this process, through its own `main`."""
        out, err, argv, umask = io.StringIO(), io.StringIO(), sys.argv, os.umask(0o077)
        try:
            sys.argv = ["calls", *arguments]
            with redirect_stdout(out), redirect_stderr(err):
                main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            sys.argv = argv
            os.umask(umask)
        return Ran(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`calls …` in a process of its own, under way."""
        return subprocess.Popen(
            [CALLS, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def spawn(self, *arguments: str) -> Ran:
        """`calls …` in a process of its own, to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)

    def query(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Rows of the warehouse as dicts, instants as aware datetimes."""
        with self._connect() as connection:
            return _rows(connection.sql(sql, params=list(values)))

    def raw(self, account: str = "main") -> dict[str, list[dict[str, Any]]]:
        """The rows of one account in every table of `raw`, by the table's name."""
        with self._connect() as connection:
            return {name: _rows(connection.sql(f"from raw.{name} where account = ?", params=[account])) for name in RAW}

    def stored(self, endpoint: str, account: str = "main") -> Calls:
        """`raw.<endpoint>` as a multiset of its wire fields."""
        return as_stored(endpoint, self.raw(account)[endpoint])

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.warehouse))
        connection.execute("set TimeZone = 'UTC'")
        return connection

    def asked(self, endpoint: str, account: str | None = None) -> int:
        """How many requests the PBX has seen for an endpoint."""
        return sum(a.endpoint == endpoint and account in (None, a.account) for a in self.pbx.arrivals)


def as_stored(endpoint: str, rows: list[dict[str, Any]]) -> Calls:
    """Rows of `raw.<endpoint>` as a multiset of its wire fields."""
    return Counter(tuple(row[name] for name in FIELDS[endpoint]) for row in rows)


def as_told(endpoint: str, rows: list[WireRow]) -> Calls:
    """The PBX's rows as a multiset of the wire's fields, typed as the warehouse types them."""
    fields = FIELDS[endpoint].items()
    return Counter(tuple(bool(row[name]) if kind == FLAG else row.get(name) for name, kind in fields) for row in rows)


def assert_truth(site: Site, account: str = "main") -> None:
    """`raw` holds every record of the PBX as often as the PBX does, in its day, and `raw.loaded_days` says so."""
    raw = site.raw(account)
    for endpoint in ENDPOINTS:
        stored, truth = as_stored(endpoint, raw[endpoint]), as_told(endpoint, site.pbx.records(endpoint, account))
        missing, surplus = truth - stored, stored - truth
        assert not missing, f"{endpoint}: {missing.total()} missing of {truth.total()}, as {next(iter(missing))}"
        assert not surplus, f"{endpoint}: {surplus.total()} too many of {truth.total()}, as {next(iter(surplus))}"
    assert_days(raw)


def assert_days(raw: dict[str, list[dict[str, Any]]]) -> None:
    """Every row stands in the UTC day of its start, and `raw.loaded_days` counts what is stored of each day."""
    for endpoint in ENDPOINTS:
        calls, days = raw[endpoint], [row for row in raw["loaded_days"] if row["endpoint"] == endpoint]
        assert all(row["call_day"] == row["call_start_at"].date() for row in calls)
        counts = {
            "calls_count": Counter(row["call_day"] for row in calls),
            "unfinished_count": Counter(row["call_day"] for row in calls if row["call_finished_at"] is None),
            "rejected_count": Counter(r["call_day"] for r in raw["rejected_records"] if r["endpoint"] == endpoint),
        }
        for name, counted in counts.items():
            assert {day["call_day"]: day[name] for day in days if day[name]} == counted, f"{endpoint}: {name}"
        assert len(days) == len({day["call_day"] for day in days})


def _rows(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return rows


def queue_call(start: datetime, **fields: object) -> WireRow:
    """A queue call answered after ten seconds that ends after sixty."""
    call: WireRow = {"queue_name": "Sales", "callerid": "+61491570006", "inbound_number": "+61255500100"}
    call |= {"call_start_at": start, "call_answered_at": start + timedelta(seconds=10)}
    call |= {"call_finished_at": start + timedelta(seconds=60), "answered_by_user_name": "Ann", "status": "answered"}
    return call | fields


def queue_table(starts: list[datetime]) -> pa.Table:
    """Many queue calls, quickly; numbers tell them apart, but for one in ten."""
    columns = {name: pa.repeat(value, len(starts)) for name, value in queue_call(starts[0]).items()}
    at = pa.array(starts, pa.timestamp("us", "UTC"))
    columns["callerid"] = pa.array([f"+6125550{n % 10_000 if n % 10 else 0:04}" for n in range(len(starts))])
    columns |= {"call_start_at": at, "call_answered_at": pc.add(at, timedelta(seconds=10))}
    return pa.table(columns | {"call_finished_at": pc.add(at, timedelta(seconds=60))})


def ringgroup_call(start: datetime, **fields: object) -> WireRow:
    """A ring-group call that nobody answers for twenty seconds."""
    call: WireRow = {"ring_group_name": "Reception", "callerid": "+442079460123", "inbound_number": "+61255500800"}
    call |= {"call_start_at": start, "call_answered_at": None, "call_finished_at": start + timedelta(seconds=20)}
    return call | {"answered_by_user_name": None, "status": "abandoned"} | fields


def user_call(start: datetime, seconds: int = 90, **fields: object) -> WireRow:
    """An inbound user call of `seconds`, ten of them ringing."""
    call: WireRow = {"from_number": "+61491570006", "to_number": "+61255501001", "user_name": "Ann", "is_inbound": 1}
    call |= {"call_start_at": start, "call_duration": seconds, "call_finished_at": start + timedelta(seconds=seconds)}
    return call | {"conversation_duration": max(0, seconds - 10)} | fields


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Serves accounts and points the settings at them: `make_site(*accounts, settings={…}, **SimulatedPBX options)`.

    One account is the only one, `main`; several stand in `[sources.voipcloud.accounts.<name>]`.
    """
    for name in [name for name in os.environ if name.startswith(MINE)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLS_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "warehouse.duckdb"))
    monkeypatch.chdir(tmp_path)

    def set_setting(name: str, value: str) -> None:
        monkeypatch.setenv(SECTION + name.replace(".", "__").upper(), value)

    with ExitStack() as stack:

        def make(*accounts: Account, settings: Mapping[str, str] | None = None, **options: Any) -> Site:
            pbx = stack.enter_context(SimulatedPBX(*accounts, **options))
            for account in accounts:
                place = "" if len(accounts) == 1 else f"accounts.{account.name}."
                set_setting(f"{place}base_url", pbx.base_url)
                set_setting(f"{place}api_key", account.key)
                set_setting(f"{place}timezone", account.style.timezone)
            for name, value in (settings or {}).items():
                set_setting(name, value)
            return Site(pbx, tmp_path, set_setting)

        yield make
