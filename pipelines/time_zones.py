"""The one time-zone database of everything Python does here: the pinned `tzdata` package, never this machine's.

The machine's own may be years old, and two databases contradict each other: in one of them British Columbia leaves
summer time in autumn 2026, in the other it stays. The process's own zone path is left alone: others share it.
"""

from functools import cache
from importlib.resources import files

from pendulum import Timezone

DATABASE = files("tzdata")


@cache
def zone_names() -> frozenset[str]:
    """The names of all zones, links included, as the database spells them."""
    return frozenset((DATABASE / "zones").read_text(encoding="ascii").split())


@cache
def read_zone(name: str) -> Timezone:
    """The zone of this name: a `ZoneInfo` that pendulum takes too, one object per name.

    Raises `ValueError` for any other name, one in another case or with a path in it among them.
    """
    if name not in zone_names():
        raise ValueError(f"'{name}' is no IANA time zone, such as Australia/Sydney")
    with (DATABASE / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return Timezone.from_file(file, key=name)
