"""The settings: what a date means, where each stands, and what an account takes from the section above."""

from collections.abc import Callable
from datetime import date

import pytest

from pipelines.errors import SettingsError
from pipelines.sandbox.account import Account
from pipelines.voipcloud.setting_values import parse_start
from pipelines.voipcloud.settings import read_account, read_accounts, read_sound_accounts
from tests.support import night
from tests.support.messages import assert_told
from tests.support.site import Site

MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """One PBX."""
    return make_site(Account("key"))


@pytest.mark.parametrize(
    ("day", "zone", "utc_day"),
    [
        ("2026-01-01", "UTC", date(2026, 1, 1)),
        ("2026-01-01", "Australia/Sydney", date(2025, 12, 31)),
        ("2026-01-01", "America/Los_Angeles", date(2026, 1, 1)),
        ("2026-01-01", "Pacific/Kiritimati", date(2025, 12, 31)),
        ("2026-11-01", "America/Havana", date(2026, 11, 1)),  # midnight comes twice
    ],
)
def test_a_start_date_is_a_local_midnight(site: Site, day: str, zone: str, utc_day: date) -> None:
    """The first day to load is the UTC day on which the local day begins."""
    site.set_setting("timezone", zone)
    site.set_setting("start_date", day)
    found = read_account("main").start_date
    assert found == utc_day
    assert type(found) is date


@pytest.mark.parametrize(("day", "zone"), [("2026-09-06", "America/Santiago"), ("2011-12-30", "Pacific/Apia")])
def test_a_midnight_that_does_not_exist(site: Site, day: str, zone: str) -> None:
    """A day whose midnight the clocks skip is refused, with the day before it as the remedy."""
    with pytest.raises(ValueError, match="no midnight"):
        parse_start(day, zone)
    site.set_setting("timezone", zone)
    site.set_setting("start_date", day)
    with pytest.raises(SettingsError, match=f"start_date cannot be used: {day} has no midnight in {zone}"):
        read_account("main")


def test_a_date_in_a_file(site: Site) -> None:
    """TOML's own date is a start date."""
    site.set_setting("timezone", "Australia/Sydney")
    (site.folder / ".dlt").mkdir()
    (site.folder / ".dlt" / "config.toml").write_text("[sources.voipcloud]\nstart_date = 2026-01-31\n")
    assert "calls from 2026-01-30 (UTC) on" in night.run(site, "doctor").out


def test_what_an_account_takes_from_above(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account takes a setting that it lacks from the section above, except the key. A wrong one costs no other."""
    site = make_site(Account("n", name="north"), Account("s", name="south"))
    site.set_setting("api_key", "the-key-at-the-top")
    site.set_setting("settle_hours", "5")
    site.set_setting("accounts.south.settle_hours", "6")
    assert [(one.access.api_key, one.rules.settle_hours) for one in read_accounts()] == [("n", 5), ("s", 6)]
    monkeypatch.delenv("SOURCES__VOIPCLOUD__ACCOUNTS__SOUTH__API_KEY")
    sound, wrong = read_sound_accounts()
    assert [one.name for one in sound] == ["north"]
    assert "SOURCES__VOIPCLOUD__ACCOUNTS__SOUTH__API_KEY" in str(wrong["south"])


def test_main_among_several(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where accounts have sections, `main` is one of them and does not take the key at the top either."""
    site = make_site(Account("m", name="main"), Account("s", name="south"))
    site.set_setting("api_key", "the-key-at-the-top")
    assert read_account("main").access.api_key == "m"
    monkeypatch.delenv("SOURCES__VOIPCLOUD__ACCOUNTS__MAIN__API_KEY")
    with pytest.raises(SettingsError, match=r"api_key in \[sources.voipcloud.accounts.main\]"):
        read_account("main")


def test_main_in_a_section_of_its_own(site: Site) -> None:
    """A section for `main` alone makes it an account like any other: the key at the top is not its key."""
    (site.folder / ".dlt").mkdir()
    (site.folder / ".dlt" / "config.toml").write_text('[sources.voipcloud.accounts.main]\ntimezone = "UTC"\n')
    assert_told(night.run(site, "budget"), 78, "SOURCES__VOIPCLOUD__ACCOUNTS__MAIN__API_KEY")
