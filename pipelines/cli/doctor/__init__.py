"""Checks settings, ledger, PBX, key, clock, warehouse and published copy, each by itself, each with its next step.

One request per account, sent once. What depends on a check that failed is not tried.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pipelines.cli.doctor.findings import Finding, check
from pipelines.cli.doctor.places import check_published, check_readers, check_space, check_warehouse
from pipelines.cli.doctor.reach import check_certificate, check_name, describe_skew, own_address
from pipelines.errors import CallsError, KeyRefused, SettingsError
from pipelines.load.pipeline import find_target
from pipelines.time_zones import read_zone
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.setting_lookup import account_names
from pipelines.voipcloud.settings import Account, read_account
from pipelines.warehouse import ENGINES


def examine(names: tuple[str, ...], engine: str) -> Iterator[Finding]:
    """Check the accounts named (() is all) and the warehouse, in the order in which a load needs things."""
    for name in account_names(names):
        yield from _examine_account(name)
    yield from _examine_places(engine)


def _examine_account(name: str) -> Iterator[Finding]:
    settings = check(name, "settings", lambda: _settings(read_account(name)))
    yield settings
    if settings.exit_code:
        return
    account = read_account(name)
    base_url = account.access.base_url
    yield check(name, "time zone", partial(_time_zone, account))
    budget = check(name, "budget", partial(_budget, account))
    yield budget
    reached = check(name, "host", partial(check_name, base_url))
    yield reached
    if not reached.exit_code:
        reached = check(name, "certificate", partial(check_certificate, base_url))
        yield reached
        yield check(name, "own address", partial(own_address, base_url))
    if reached.exit_code or budget.exit_code:
        yield Finding(name, "API, key, clock", "not tried", "not tried: see above")
    else:
        yield from _ask(account)


def _ask(account: Account) -> Iterator[Finding]:
    """Send the one request. A refusal is an answer of the API too, so it shows that the API is there."""
    client = Client(replace(account.access, attempts=1), account.open_budget())
    asked = check(account.name, "key and address", partial(_key, client))
    if asked.exit_code not in (0, KeyRefused.exit_code):
        yield replace(asked, what="API")
        return
    yield Finding(account.name, "API", "ok", "the PBX answers")
    yield asked
    yield check(account.name, "clock", partial(describe_skew, client.clock_skew_seconds))


def _examine_places(engine: str) -> Iterator[Finding]:
    try:
        target = find_target(engine)
    except CallsError as error:
        yield Finding(None, "warehouse", "fail", str(error), error.exit_code)
        return
    warehouse = check(None, "warehouse", partial(check_warehouse, target))
    yield warehouse
    if engine not in ENGINES:
        return
    if engine == "duckdb" and target.path.parent.exists():
        yield check(None, "room", partial(check_space, target))
    if engine == "postgres" and not warehouse.exit_code:
        yield check(None, "readers", partial(check_readers, target))
    yield check(None, "published copy", partial(check_published, target))


def _settings(account: Account) -> str:
    start = f"from {account.start_date} (UTC) on" if account.start_date else "from the first one on"
    return f"{account.host}, with a key; calls {start}"


def _time_zone(account: Account) -> str:
    if account.warnings:
        raise SettingsError(account.warnings[0].removeprefix(f"{account.name}: "))
    return f"{account.timezone}, where it is {datetime.now(read_zone(account.timezone)):%H:%M} now"


def _key(client: Client) -> str:
    with client:
        client.fetch_system_status()
    return "the PBX accepts the key from this machine"


def _budget(account: Account) -> str:
    usage = account.open_budget().usage()
    # The address of a shared ledger may hold a password.
    where = account.ledger if isinstance(account.ledger, Path) else "the shared ledger"
    used = f"{usage.used} of {account.limits.requests} requests used in this window"
    return f"{used}, {usage.left} left for loads; counted in {where}"
