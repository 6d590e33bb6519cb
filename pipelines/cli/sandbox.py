"""The simulated PBX: `calls sandbox` serves it, with every fault on request; `calls demo` runs a night against it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import pyarrow as pa

from pipelines.cli.options import Parsed
from pipelines.cli.output import finish, print_night
from pipelines.cli.progress import watch_build, watch_loads
from pipelines.cli.signals import watch_signals
from pipelines.cli.tour import print_tour
from pipelines.load.account import LoadOptions
from pipelines.nightly import run_night
from pipelines.sandbox.account import Account
from pipelines.sandbox.callcentre import simulate
from pipelines.sandbox.callcentre.parameters import CallCentre
from pipelines.sandbox.clock import running_clock, scatter
from pipelines.sandbox.faults import KINDS, read_fault
from pipelines.sandbox.request_log import Arrival
from pipelines.sandbox.responses import Style
from pipelines.sandbox.server import SimulatedPBX
from pipelines.time_zones import read_zone
from pipelines.voipcloud.setting_values import parse_zone
from pipelines.voipcloud.settings import read_accounts
from pipelines.warehouse import read_target

DEMO_KEY = "a-key-that-opens-only-the-sandbox"
DEMO_TIMEZONE = "Australia/Sydney"
LATE_WITHIN_SECONDS = 36 * 3600.0


def _words(field: str) -> click.Choice[str]:
    return click.Choice(get_args(get_type_hints(Style)[field]))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, help="0 takes a free one.")
@click.option("--days", type=click.IntRange(1, 3660), default=28, help="How far back calls go, up to today.")
@click.option("--calls-per-day", type=click.FloatRange(1), default=600.0, help="In all queues, on a weekday.")
@click.option("--seed", type=int, default=1, help="Another seed gives other calls.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="An account's key; repeat for several PBXs.")
@click.option("--timezone", default=DEMO_TIMEZONE, type=Parsed("zone", parse_zone), help="Where the call centre is.")
@click.option("--envelope", type=_words("envelope"), default="data", help="Shape of an answer.")
@click.option("--instants", type=_words("instants"), default="Z_millis", help="How instants are written.")
@click.option("--day-filter", type=_words("day_filter"), default="local", help="Whose midnight a date means.")
@click.option("--to-date", type=_words("to_date"), default="inclusive", help="Whether that day is included.")
@click.option("--requests", type=click.IntRange(1), default=100, help="Requests a key may make …")
@click.option("--window-seconds", type=click.FloatRange(0, min_open=True), default=900.0, help="… in so many seconds.")
@click.option("--latency", "latency_seconds", type=click.FloatRange(0), default=0.0, help="Seconds an answer takes.")
@click.option("--random-latency", is_flag=True, help="At most so many, at random.")
@click.option("--speed", type=click.FloatRange(0), default=1.0, help="Of the clock; 0: all calls are over.")
@click.option("--late", type=click.FloatRange(0, 1), default=0.0, help="Share of records that appear late.")
@click.option("--vanishing", type=click.FloatRange(0, 1), default=0.0, help="Share of records that disappear again.")
@click.option("--shuffle-ties", is_flag=True, help="Shuffle the records of a second at each request.")
@click.option("--fault", "faults", multiple=True, metavar="KIND[,OPTION=…]", help=f"One of {', '.join(KINDS)}.")
@click.option("--quiet", is_flag=True, help="Do not write a line per request.")
def sandbox(port: int, keys: tuple[str, ...], faults: tuple[str, ...], quiet: bool, **made: Any) -> None:
    """Serve a simulated PBX on this machine until Ctrl-C.

    \b
    Faults: what goes wrong, when and how often:
      --fault 500                                    the next request
      --fault 429,retry_after=30,after=2             the third request
      --fault lists,every=50,times=always            each 50th record, in every page
      --fault hang,seconds=5,endpoint=queue_calls    one endpoint only
    """
    keys = keys or (DEMO_KEY,)
    accounts = [_make_account(key, number, len(keys), made) for number, key in enumerate(keys)]
    clock = running_clock(datetime.now(UTC), made["speed"]) if made["speed"] else None
    pace = {name: made[name] for name in ("latency_seconds", "random_latency")}
    on_request = None if quiet else _print_request
    with (
        watch_signals() as stop,
        SimulatedPBX(*accounts, port=port, clock=clock, after_request=on_request, **pace) as pbx,
    ):
        for text in faults:
            pbx.add_fault(read_fault(text))
        click.echo(f"A simulated PBX serves {pbx.base_url}; Ctrl-C ends it. To load from it, in another terminal:")
        click.echo(f"  export SOURCES__VOIPCLOUD__BASE_URL={pbx.base_url}")
        click.echo(f"  export SOURCES__VOIPCLOUD__API_KEY={keys[0]}")
        click.echo(f"  export SOURCES__VOIPCLOUD__TIMEZONE={made['timezone']}")
        click.echo("  calls load")
        while not stop():
            threading.Event().wait(0.2)


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=28, show_default=True, help="How far back calls go.")
def demo(days: int) -> None:
    """Run a night against a simulated PBX, in ./demo: no account needed."""
    with _serve_demo(Path("demo").absolute(), days):
        target, accounts = read_target("duckdb"), read_accounts()
        with watch_signals() as stop, watch_loads(stop) as observer, watch_build() as on_model:
            night = run_night(accounts, target, LoadOptions(), observer, on_model)
        print_night(night)
        if night.published:
            print_tour(target)
    finish(night.errors)


@contextmanager
def _serve_demo(folder: Path, days: int) -> Iterator[SimulatedPBX]:
    """A PBX on loopback, and the environment that points at it; ledger, locks and warehouse are in `folder`."""
    tables = _make_tables(DEMO_TIMEZONE, days, seed=1, calls_per_day=600.0)
    account = Account(key=DEMO_KEY, tables=tables, style=Style(timezone=DEMO_TIMEZONE))
    with SimulatedPBX(account, clock=running_clock(datetime.now(UTC))) as pbx:
        os.environ |= {
            "CALLS_HOME": str(folder / "state"),
            "DESTINATION__DUCKDB__CREDENTIALS": str(folder / "warehouse.duckdb"),
            "SOURCES__VOIPCLOUD__API_KEY": DEMO_KEY,
            "SOURCES__VOIPCLOUD__BASE_URL": pbx.base_url,
            "SOURCES__VOIPCLOUD__TIMEZONE": DEMO_TIMEZONE,
        }
        yield pbx


def _make_account(key: str, number: int, accounts: int, made: dict[str, Any]) -> Account:
    tables = _make_tables(made["timezone"], made["days"], made["seed"] + number, made["calls_per_day"])
    if made["late"] or made["vanishing"]:
        share = {name: made[name] for name in ("late", "vanishing")}
        tables = {
            name: scatter(table, **share, within_seconds=LATE_WITHIN_SECONDS, seed=made["seed"])
            for name, table in tables.items()
        }
    style = {name: made[name] for name in ("envelope", "instants", "day_filter", "to_date", "timezone")}
    return Account(
        key=key,
        tables=tables,
        style=Style(**style),
        name="main" if accounts == 1 else f"account{number + 1}",
        requests=made["requests"],
        window_seconds=made["window_seconds"],
        shuffle_ties=made["shuffle_ties"],
    )


def _make_tables(timezone: str, days: int, seed: int, calls_per_day: float) -> dict[str, pa.Table]:
    """A call centre's lists, the last of so many days being today there."""
    first = (datetime.now(read_zone(timezone)) - timedelta(days=days - 1)).date()
    centre = CallCentre(timezone=timezone, first_day=first, days=days, seed=seed, calls_per_day=calls_per_day)
    return simulate(centre)


def _print_request(arrival: Arrival) -> None:
    asked = ", ".join(f"{name} {value}" for name, value in arrival.parameters.items() if value)
    click.echo(f"{arrival.account}: {arrival.endpoint} ({asked}): {arrival.status or 'no answer'}")
