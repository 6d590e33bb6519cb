"""Settings, ledger, key and address, clock, destination: each checked, each with its remedy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.client import Client
from pipelines.errors import CallsError, SettingsWrong
from pipelines.loading import open_budget
from pipelines.settings import Account
from pipelines.warehouse import Target, open_for_writing

CLOCK_SKEW_SECONDS = 120.0


@dataclass(frozen=True)
class Finding:
    """One check of one account: what was looked at, what was found, and the error if it failed."""

    account: str
    what: str
    found: str
    error: CallsError | None = None


def examine(account: Account, target: Target) -> Iterator[Finding]:
    """Checks one account in the order in which a load would need things. Costs one request."""
    yield from _check(account, "settings", lambda: _settings(account))
    yield from _check(account, "budget", lambda: _budget(account))
    yield from _check(account, "warehouse", lambda: _warehouse(target))
    with Client(account.access, open_budget(account)) as client:
        yield from _check(account, "key and address", lambda: _key(client))
        yield from _check(account, "clock", lambda: _clock(client))


def _check(account: Account, what: str, look: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(account.name, what, look())
    except CallsError as error:
        yield Finding(account.name, what, "", error)


def _settings(account: Account) -> str:
    if account.warnings:
        raise SettingsWrong(account.warnings[0])
    start = f"from {account.start_date}" if account.start_date else "from the first call on"
    return f"{account.host}, times in {account.timezone}, {start}"


def _budget(account: Account) -> str:
    usage = open_budget(account).usage()
    return f"{usage.used} of {account.limits.requests} requests used in this window, {usage.left} left for loads"


def _warehouse(target: Target) -> str:
    with open_for_writing(target):
        return f"{target.shown} opens for writing"


def _key(client: Client) -> str:
    client.fetch_system_status()
    return "the PBX accepts the key from this machine"


def _clock(client: Client) -> str:
    skew = client.clock_skew_seconds
    if skew is None:
        return "the PBX does not tell its time, so this was not compared"
    if abs(skew) > CLOCK_SKEW_SECONDS:
        raise SettingsWrong(
            f"This machine's clock is {abs(skew):.0f} s away from the PBX's. Set it (timedatectl set-ntp true); "
            "it decides which days are over."
        )
    return f"within {abs(skew):.0f} s of the PBX's"
