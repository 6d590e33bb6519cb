"""Settings, ledger, PBX, key, clock, warehouse, published copy: each checked by itself, each with its next step.

One request an account in all, sent once. What cannot be known because something before it failed is not tried.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pipelines.cli.doctor.findings import Finding, Note, check
from pipelines.cli.doctor.places import check_published, check_readers, check_space, check_warehouse
from pipelines.cli.doctor.reach import check_certificate, check_name, own_address
from pipelines.errors import CallsError, KeyRefused, SettingsError
from pipelines.load.account import open_budget
from pipelines.time_zones import read_zone
from pipelines.voipcloud.client import Client
from pipelines.voipcloud.settings import Account, account_names, read_account
from pipelines.warehouse import Engine, read_target

CLOCK_SKEW_SECONDS = 120.0


def examine(names: tuple[str, ...], engine: Engine) -> Iterator[Finding]:
    """Checks the accounts named, () being all, and the warehouse, in the order in which a load needs things."""
    for name in account_names(names):
        yield from _examine_account(name)
    yield from _examine_places(engine)


def _examine_account(name: str) -> Iterator[Finding]:
    try:
        account = read_account(name)
    except CallsError as error:
        yield Finding(name, "settings", "fail", error=error)
        return
    yield check(name, "settings", partial(_settings, account))
    yield check(name, "time zone", partial(_time_zone, account))
    budget = check(name, "budget", partial(_budget, account))
    yield budget
    found = check(name, "host", partial(check_name, account.access.base_url))
    yield found
    if found.error is None:
        found = check(name, "certificate", partial(check_certificate, account.access.base_url))
        yield found
        yield check(name, "own address", partial(own_address, account.access.base_url))
    if found.error or budget.error:
        yield Finding(name, "API, key, clock", "not tried", "not tried: see above")
    else:
        yield from _ask(account)


def _ask(account: Account) -> Iterator[Finding]:
    """The one request, and all that its answer tells: a refusal comes from an API too."""
    client = Client(replace(account.access, attempts=1), open_budget(account))
    refused: CallsError | None = None
    try:
        with client:
            client.fetch_system_status()
    except KeyRefused as error:
        refused = error
    except CallsError as error:
        yield Finding(account.name, "API", "fail", error=error)
        return
    yield Finding(account.name, "API", "ok", "the PBX answers")
    if refused:
        yield Finding(account.name, "key and address", "fail", error=refused)
    else:
        yield Finding(account.name, "key and address", "ok", "the PBX accepts the key from this machine")
    yield check(account.name, "clock", partial(_clock, client))


def _examine_places(engine: Engine) -> Iterator[Finding]:
    try:
        target = read_target(engine)
    except CallsError as error:
        yield Finding(None, "warehouse", "fail", error=error)
        return
    warehouse = check(None, "warehouse", partial(check_warehouse, target))
    yield warehouse
    if engine == "duckdb":
        if target.path.parent.exists():
            yield check(None, "room", partial(check_space, target))
    elif warehouse.error is None:
        yield check(None, "readers", partial(check_readers, target))
    yield check(None, "published copy", partial(check_published, target))


def _settings(account: Account) -> str:
    start = f"from {account.start_date}" if account.start_date else "from the first one on"
    return f"{account.host}, with a key; calls {start}"


def _time_zone(account: Account) -> str:
    if account.warnings:
        raise SettingsError(account.warnings[0].removeprefix(f"{account.name}: "))
    return f"{account.timezone}, where it is {datetime.now(read_zone(account.timezone)):%H:%M} now"


def _budget(account: Account) -> str:
    usage = open_budget(account).usage()
    # A ledger that several hosts share has an address, which may hold a password.
    where = account.ledger if isinstance(account.ledger, Path) else "the shared ledger"
    used = f"{usage.used} of {account.limits.requests} requests used in this window"
    return f"{used}, {usage.left} left for loads; counted in {where}"


def _clock(client: Client) -> str | Note:
    skew = client.clock_skew_seconds
    if skew is None:
        return Note("the PBX does not tell its time, so this was not compared")
    if abs(skew) > CLOCK_SKEW_SECONDS:
        raise SettingsError(
            f"This machine's clock is {abs(skew):.0f} s away from the PBX's. Set it (timedatectl set-ntp true); "
            "it decides which days are over."
        )
    return f"within {abs(skew):.0f} s of the PBX's"
