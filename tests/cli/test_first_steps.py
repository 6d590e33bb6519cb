"""`calls init`: asks on a terminal, checks each answer at once, writes two files, then checks all of it."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from pipelines.cli.init.answers import local_zone, parse_warehouse, parse_zone, suggest_zones, with_password
from pipelines.cli.init.toml_files import set_value
from pipelines.sandbox.account import Account
from pipelines.voipcloud.setting_lookup import SECTION
from tests.support.messages import KEY, assert_told
from tests.support.site import MINE, Site
from tests.support.terminal import Terminal, terminal

ROOT = Path(__file__).parents[2]
ADDRESS, TOKEN, ZONE, START, WAREHOUSE, CHECK = (
    "The PBX's address",
    "Its API key",
    "The PBX's time zone",
    "First day to load",
    "Warehouse: a DuckDB file",
    "Check all of it now?",
)
MakeSite = Callable[..., Site]


@pytest.fixture
def site(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A PBX, and no setting but the state folder."""
    made = make_site(Account(KEY))
    for name in [name for name in os.environ if name.startswith(MINE) and name != "CALLS_HOME"]:
        monkeypatch.delenv(name)
    return made


def init(site: Site, **settings: str) -> Any:
    """`calls init` on a terminal."""
    return terminal(site.folder, "init", **settings)


def read(site: Site, name: str) -> Any:
    """A settings file, parsed."""
    return tomlkit.parse((site.folder / ".dlt" / name).read_text()).unwrap()


def answer_all(
    screen: Terminal, address: str, key: str = KEY, zone: str = "", start: str = "", place: str = ""
) -> None:
    """Answer each question; an empty answer takes what is offered."""
    for question, typed in ((ADDRESS, address), (TOKEN, key), (ZONE, zone), (START, start), (WAREHOUSE, place)):
        screen.answer(question, typed)


def test_from_nothing(site: Site) -> None:
    """In an empty folder, each answer is checked at once, near time zones are suggested, this machine's is offered, and
    the key is not shown. The secret gets a file of its own, the user's alone, and one request checks all of it."""
    with init(site) as screen:
        screen.answer(ADDRESS, "http://pbx.example")
        screen.see("only https is accepted")
        screen.answer(ADDRESS, site.pbx.base_url)
        screen.answer(TOKEN, "two words")
        screen.see("characters that no key has")
        screen.answer(TOKEN, KEY)
        assert f"[{local_zone()}]" in screen.answer(ZONE, "Sidney") + screen.see("did you mean Australia/Sydney")
        screen.answer(ZONE, "australia/sydney")
        screen.answer(START, "31/12/2025")
        screen.see("no date such as 2026-01-31")
        screen.answer(START, "2026-01-31")
        screen.answer(WAREHOUSE, "nowhere/calls.duckdb")
        screen.see("there is no folder")
        screen.answer(WAREHOUSE, "")
        screen.answer(CHECK, "y")
        screen.see("the PBX accepts the key")
        screen.see("published copy")
        assert screen.end() == 0
    assert KEY not in screen.screen
    assert read(site, "secrets.toml") == {"sources": {"voipcloud": {"api_key": KEY}}}
    config = read(site, "config.toml")
    assert config["destination"] == {"duckdb": {"credentials": "warehouse.duckdb"}}
    assert {name: str(value) for name, value in config["sources"]["voipcloud"].items()} == {
        "base_url": site.pbx.base_url,
        "timezone": "Australia/Sydney",
        "start_date": "2026-01-31",
    }
    for path in (site.folder / ".dlt", *(site.folder / ".dlt").iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert len(site.pbx.arrivals) == 1


def test_what_is_there_stays(site: Site) -> None:
    """Comments, other settings and answers by Enter stay. A value is replaced only after a yes, a new one goes below
    the comment that explains it, and the example's key counts as missing."""
    folder = site.folder / ".dlt"
    folder.mkdir()
    before = (ROOT / ".dlt" / "config.toml").read_text().replace('# timezone = "UTC"', 'timezone = "UTC"  # ours')
    (folder / "config.toml").write_text(before)
    (folder / "secrets.toml").write_text((ROOT / ".dlt" / "secrets.toml.example").read_text())
    (folder / "secrets.toml").chmod(0o644)
    with init(site) as screen:
        answer_all(screen, site.pbx.base_url, zone="Asia/Tokyo")
        screen.answer("It is UTC. Change it to Asia/Tokyo?", "n")
        screen.answer(CHECK, "n")
        assert screen.end() == 0
    example = '# base_url = "https://au.voipcloud.online"\n'
    place = '# credentials = "warehouse.duckdb"\n'
    expected = before.replace(example, f'{example}base_url = "{site.pbx.base_url}"\n', 1)
    expected = expected.replace(place, f'{place}credentials = "warehouse.duckdb"\n', 1)
    assert (folder / "config.toml").read_text() == expected
    secrets = (folder / "secrets.toml").read_text()
    assert secrets == (ROOT / ".dlt" / "secrets.toml.example").read_text().replace("paste the key here", KEY)
    assert stat.S_IMODE((folder / "secrets.toml").stat().st_mode) == 0o600
    with init(site) as screen:  # again: Enter keeps the address; a new key and zone need a yes
        answer_all(screen, "", key="another-key", zone="Asia/Tokyo")
        screen.answer("has api_key in [sources.voipcloud]. Replace it?", "n")
        screen.answer("Change it to Asia/Tokyo?", "y")
        screen.answer(CHECK, "n")
        assert screen.end() == 0
    assert (folder / "secrets.toml").read_text() == secrets
    assert (folder / "config.toml").read_text() == expected.replace('timezone = "UTC"', 'timezone = "Asia/Tokyo"')
    assert not site.pbx.arrivals


def test_a_postgres(site: Site) -> None:
    """A Postgres URL goes to the secrets, with the password typed without an echo. It says to use `--destination`, and
    a failed check ends with its code."""
    with init(site) as screen:
        answer_all(screen, site.pbx.base_url, place="postgresql://calls@127.0.0.1:9/calls")
        screen.answer("Password of that login", "s3cret/word")
        screen.see("--destination postgres")
        screen.answer(CHECK, "y")
        screen.see("FAIL warehouse")
        assert screen.end() == 78
    secrets = read(site, "secrets.toml")
    assert secrets["destination"]["postgres"]["credentials"] == "postgresql://calls:s3cret%2Fword@127.0.0.1:9/calls"
    assert "postgres" not in (site.folder / ".dlt" / "config.toml").read_text()
    assert "s3cret" not in screen.screen


def test_a_duckdb_url(site: Site) -> None:
    """A DuckDB file written as a URL is no Postgres: no password is asked for, and it is no secret."""
    with init(site) as screen:
        answer_all(screen, site.pbx.base_url, place="duckdb:///calls.duckdb")
        screen.answer(CHECK, "n")
        assert screen.end() == 0
    assert read(site, "config.toml")["destination"] == {"duckdb": {"credentials": "duckdb:///calls.duckdb"}}


@pytest.mark.parametrize(("typed", "is_added"), [("y", True), ("n", False)])
def test_in_a_git_checkout(site: Site, typed: str, is_added: bool) -> None:
    """If git would commit the secrets, it offers the line that ignores them; once they are ignored, it says so."""
    subprocess.run([shutil.which("git") or "git", "init", "--quiet"], cwd=site.folder, check=True)
    (site.folder / ".gitignore").write_text("*.duckdb")
    with init(site) as screen:
        answer_all(screen, site.pbx.base_url)
        screen.answer("git would commit .dlt/secrets.toml", typed)
        screen.answer(CHECK, "n")
        assert screen.end() == 0
    lines = (site.folder / ".gitignore").read_text().split()
    assert lines == ["*.duckdb", *(["/.dlt/secrets.toml"] if is_added else [])]
    assert is_added or "can be committed by mistake" in screen.screen
    if is_added:
        with init(site) as screen:
            answer_all(screen, "", key="")
            screen.see("git ignores .dlt/secrets.toml, as it should.")


def test_the_environment_overrides(site: Site) -> None:
    """A variable that overrides what was written gets a warning."""
    with init(site, SOURCES__VOIPCLOUD__TIMEZONE="UTC") as screen:
        answer_all(screen, site.pbx.base_url)
        screen.see("SOURCES__VOIPCLOUD__TIMEZONE is set, and overrides what was written.")


def test_not_without_a_terminal(site: Site) -> None:
    """Without a terminal it says which settings to set, ends with 2, and writes nothing."""
    assert_told(site.run("init"), 2, "needs a terminal", "base_url", "SOURCES__VOIPCLOUD__BASE_URL", "secrets.toml")
    assert not (site.folder / ".dlt").exists()


def test_what_it_leaves_to_people(site: Site) -> None:
    """Several PBXs have to be set up by hand, and a file that is no TOML is not replaced."""
    folder = site.folder / ".dlt"
    folder.mkdir()
    for text, code, words in (
        ('[sources.voipcloud.accounts.north]\ntimezone = "UTC"\n', 2, "Several PBXs"),
        ("[sources.voipcloud\n", 78, "cannot be read as TOML"),
    ):
        (folder / "config.toml").write_text(text)
        with init(site) as screen:
            screen.see(words)
            assert screen.end() == code
        assert (folder / "config.toml").read_text() == text
    assert not (folder / "secrets.toml").exists()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Sidney", "Australia/Sydney"),
        ("Austrlia/Sydney", "Australia/Sydney"),
        ("new yrok", "America/New_York"),
        ("europe/londn", "Europe/London"),
    ],
)
def test_near_time_zones(typed: str, meant: str) -> None:
    """A misspelt zone gets the one that was meant, by its city or its whole name."""
    assert suggest_zones(typed)[0] == meant
    with pytest.raises(ValueError, match=meant):
        parse_zone(typed)


def test_answers_as_people_write_them() -> None:
    """A zone may be in any case and with spaces; a password is added only to a URL that has none."""
    assert parse_zone("america/new york") == "America/New_York"
    assert with_password("postgresql://me@db/calls", "a@b") == "postgresql://me:a%40b@db/calls"
    assert with_password("postgresql://me:x@db/calls", "y") == "postgresql://me:x@db/calls"
    for typed, why in (
        ("mysql://db/calls", "neither a file"),
        ("postgresql://db/calls?nonsense=1", "no URL such as"),
        ("/", "is a folder"),
        ("~no-such-user/calls.duckdb", "Write it in full"),
    ):
        with pytest.raises(ValueError, match=why):
            parse_warehouse(typed)


def test_a_setting_in_any_file() -> None:
    """A setting is added to its section, wherever that is in the file, and not below another section's comment."""
    text = '[a.b]\nx = 1\n\n[a.b.c]\n# key = "theirs"\n'
    changed = set_value(text, "a.b", "key", "ours")
    assert tomlkit.parse(changed).unwrap() == {"a": {"b": {"x": 1, "key": "ours", "c": {}}}}
    assert set_value("", SECTION, "base_url", "x") == f'[{SECTION}]\nbase_url = "x"\n'
    assert set_value("a.b = 1\n", "a", "c", 2) == "a.b = 1\na.c = 2\n"
