"""One time-zone database for everything Python does, whatever this machine has."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pendulum
import pytest

from pipelines.time_zones import read_zone, zone_names

PIPELINES = Path(__file__).parent.parent / "pipelines"
# Vancouver in winter, for `datetime` and for pendulum, and the zone path of the process
LOOK = """
import zoneinfo, pendulum
from datetime import datetime
from pipelines.time_zones import read_zone
zone = read_zone("America/Vancouver")
print(datetime(2026, 12, 1, tzinfo=zone).isoformat(), pendulum.datetime(2026, 12, 1, tz=zone).isoformat())
print(datetime(2026, 12, 1, tzinfo=zoneinfo.ZoneInfo("America/Vancouver")).isoformat(), zoneinfo.TZPATH)
"""


def hours(name: str, *at: int) -> float:
    """What the clocks of a zone are ahead of UTC at an instant."""
    offset = datetime(*at, tzinfo=UTC).astimezone(read_zone(name)).utcoffset()  # type: ignore[arg-type,misc]
    assert offset is not None
    return offset.total_seconds() / 3600


def test_every_zone_can_be_read() -> None:
    """Each name of the database is a zone of that name, and the same object each time."""
    assert {"UTC", "Australia/Sydney", "US/Pacific", "America/Argentina/Buenos_Aires"} < zone_names()
    for name in zone_names():
        zone = read_zone(name)
        assert isinstance(zone, ZoneInfo)
        assert zone.key == name
        assert read_zone(name) is zone


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "australia/sydney", "AUSTRALIA/SYDNEY", "Australia", "Australia/", "Australia/../UTC", "../zones",
     "/etc/passwd", "/usr/share/zoneinfo/UTC", "UTC ", "UTC\0", "Mars/Phobos", "tzdata.zi", "posix/UTC"],
)  # fmt: skip
def test_any_other_name_is_refused(name: str) -> None:
    """Another case, a folder, a path and a name of nothing are each an error that says what belongs there."""
    with pytest.raises(ValueError, match="is no IANA time zone, such as Australia/Sydney"):
        read_zone(name)


def test_rules_go_on_after_the_last_change_that_is_listed() -> None:
    """British Columbia stays on summer time from 2026 on; Sydney and Berlin change their clocks for ever."""
    assert [hours("America/Vancouver", year, 12, 1) for year in (2025, 2026, 2027, 2199)] == [-8, -7, -7, -7]
    assert [hours("Australia/Sydney", 2150, month, 1) for month in (1, 7)] == [11, 10]
    assert [hours("Europe/Berlin", 2199, month, 1) for month in (1, 7)] == [1, 2]


def test_the_machine_has_no_say(tmp_path: Path) -> None:
    """Where the machine's own database says otherwise, ours counts, for pendulum too, and its path stays as it is."""
    machine = tmp_path / "America"
    machine.mkdir()
    lisbon = Path(sys.prefix) / f"lib/python3.{sys.version_info.minor}/site-packages/tzdata/zoneinfo/Europe/Lisbon"
    (machine / "Vancouver").write_bytes(lisbon.read_bytes())
    ran = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=os.environ | {"PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours, theirs = ran.stdout.splitlines()
    assert ours.split() == ["2026-12-01T00:00:00-07:00"] * 2
    assert theirs.split() == ["2026-12-01T00:00:00+00:00", f"('{tmp_path}',)"]


def test_pendulum_takes_a_zone() -> None:
    """pendulum's dates in a zone of ours are in that very zone."""
    zone = read_zone("Australia/Lord_Howe")
    assert pendulum.datetime(2026, 1, 1, tz=zone).timezone is zone
    assert pendulum.datetime(2026, 1, 1, tz=zone).add(months=6).utcoffset() != zone.utcoffset(datetime(2026, 1, 1))


def test_nothing_makes_a_zone_of_its_own() -> None:
    """No other module reads zones, by any library, or moves the path on which they are found."""
    own = re.compile(r"ZoneInfo\(|available_timezones|assume_timezone|(?i:tzpath)|pendulum\.timezone\(|local_timezone")
    found = {
        str(path.relative_to(PIPELINES)): own.findall(path.read_text(encoding="utf-8"))
        for path in PIPELINES.rglob("*.py")
    }
    assert {module: words for module, words in found.items() if words} == {}
