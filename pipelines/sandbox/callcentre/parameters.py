"""What a simulated call centre is made of: its queues, its people, its hours and its callers' habits."""

import math
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import Literal

# Calls by the hour of a local day, and by the day of a week from Monday; only the ratios matter.
HOURS = (0.1,) * 6 + (0.2, 0.4, 1.0, 1.6, 1.8, 1.6, 1.1, 1.1, 1.4, 1.5, 1.2, 0.8, 0.4, 0.25, 0.2, 0.15, 0.1, 0.1)
DAYS = (1.2, 1.05, 0.95, 0.95, 0.85, 0.5, 0.3)
HOUR_WEIGHTS = tuple(day * hour for day in DAYS for hour in HOURS)

FIRST_NAMES = (
    "Zoë Jürgen Anaïs Mateo Priya Tāne Chloé Oluwaseun Ingrid Łukasz Mei Søren Aroha Dimitri Fatima Björn "
    "Renée Hemi Saoirse Iñaki Yuki Thảo Noor Ewan"
)
LAST_NAMES = (
    "Müller Nguyễn O'Connor Ångström García Singh Te-Rangi Dvořák Smith Papadopoulos Żak Brown Çelik Fernández "
    "Kowalski Weiß Tanaka Østergaard D'Souza Martin Hâncu Šimić Okafor Wilson"
)
ANONYMOUS = ("anonymous", "private", "")  # what callers show who hide their number
OFFICE = ("山田 花子", "Ó Briain, Seán", "Alex Taylor", "Noor El-Sayed")


@dataclass(frozen=True)
class Queue:
    """A queue, or, among a centre's `ring_groups`, a ring group: there all free members' phones ring at once.

    Spans are in seconds and may be infinite. A caller who leaves by the time-out enters `overflow`, another
    queue's or ring group's name, at that instant, or is put down where there is none.
    """

    name: str
    numbers: tuple[str, ...]  # inbound numbers that lead here
    members: tuple[str, ...]  # names of the users who answer
    share: float = 1.0  # volume beside the other queues'; the queues' together make `calls_per_day`
    talk_seconds: float = 240.0  # mean
    patience_seconds: float = 180.0  # mean of an exponential
    timeout_seconds: float = math.inf
    overflow: str | None = None


@dataclass(frozen=True)
class CallCentre:
    """Everything a simulation depends on; equal centres give equal calls.

    Without `queues`, `staffed` provides some, with agents enough for `calls_per_day`. Raises ValueError, naming
    what is wrong, when the parts do not fit together.
    """

    seed: int = 1
    timezone: str = "Australia/Sydney"
    first_day: date = date(2025, 1, 1)  # local, like every hour below
    days: int = 365
    calls_per_day: float = 600.0  # first attempts at all queues on an average weekday
    hour_weights: tuple[float, ...] = HOUR_WEIGHTS  # 168, from Monday's first hour
    queues: tuple[Queue, ...] = ()
    ring_groups: tuple[Queue, ...] = ()
    office: tuple[str, ...] = ()  # users in no queue or ring group
    talk_shape: Literal["lognormal", "exponential"] = "lognormal"
    answer_seconds: float = 4.0  # a free phone rings so long, on average, before it is answered
    redial_share: float = 0.35  # of the callers lost, after
    redial_seconds: float = 240.0  # on average
    callback_share: float = 0.5  # of the callers lost whose number shows, after
    callback_seconds: float = 2400.0  # on average, if an agent is free then
    anonymous_share: float = 0.06
    direct_share: float = 0.12  # calls from outside to a user's own number, for each call to a queue
    outbound_share: float = 0.15  # calls by users to the outside, beside the callbacks
    internal_share: float = 0.04  # calls between two users
    user_talk_seconds: float = 150.0  # mean, in calls that no queue or ring group brought

    @property
    def places(self) -> tuple[Queue, ...]:
        """The queues, then the ring groups."""
        return self.queues + self.ring_groups

    @property
    def users(self) -> tuple[str, ...]:
        """Names of all users, each once."""
        return tuple(dict.fromkeys(chain(*(place.members for place in self.places), self.office)))

    @property
    def extensions(self) -> dict[str, str]:
        """Each user's short number within the centre."""
        return {name: str(200 + position) for position, name in enumerate(self.users)}

    @property
    def direct_numbers(self) -> dict[str, str]:
        """Each user's own number for calls from outside, in a range reserved for fiction."""
        return {name: f"+6125550{1000 + position}" for position, name in enumerate(self.users)}

    def __post_init__(self) -> None:
        if len(self.hour_weights) != 168 or min(self.hour_weights) < 0 or not sum(self.hour_weights[:120]):
            raise ValueError("hour_weights: give 168 numbers from 0 up, some weekday's above 0")
        if len(self.users) > 9000:
            raise ValueError(f"{len(self.users)} users: at most 9000 can have a number of their own")
        for place in self.places:
            if not place.members and min(place.patience_seconds, place.timeout_seconds) == math.inf:
                raise ValueError(f"{place.name!r} has no members and callers who wait for ever: bound one or the other")
        onward: dict[str | None, str | None] = {place.name: place.overflow for place in self.places}
        if len(onward) < len(self.places):
            raise ValueError("two queues or ring groups have one name: rename one")
        if unknown := {*onward.values()} - {None, *onward}:
            raise ValueError(f"overflow into {unknown}: no queue or ring group has that name")
        for name in onward:
            reached = name
            for _ in onward:
                reached = onward.get(reached)
            if reached is not None:
                raise ValueError(f"overflow from {name!r} goes round in a circle: let it end somewhere")


def staffed(centre: CallCentre) -> CallCentre:
    """The centre itself if it has queues; else with four queues and two ring groups that suit its volume."""
    if centre.queues:
        return centre
    plans = (  # name, numbers, members, share, mean talk and patience, time-out, overflow
        Queue("Support", ("+61255500000", "+61255500001"), (), 0.40, 280.0, 240.0, 150.0, "Reception"),
        Queue("Sales", ("+61255500100", "+61255500101"), (), 0.32, 220.0, 180.0, 90.0, "Support"),
        Queue("Billing & Accounts", ("+61255500200",), (), 0.18, 200.0, 200.0, 120.0),
        Queue("Vertrieb \u2013 Süd", ("+61255500300",), (), 0.10, 260.0, 150.0, 60.0, "Sales"),
    )
    busiest = max(centre.hour_weights[24:120]) / (sum(centre.hour_weights[:120]) / 5)  # Mondays overrun it
    teams: list[tuple[str, ...]] = []
    for plan in plans:
        load = centre.calls_per_day * plan.share * busiest * plan.talk_seconds / 3600  # erlangs
        first = sum(map(len, teams))
        teams.append(tuple(person(first + i) for i in range(max(2, math.ceil(load)))))
    # The first quarter of each team is skilled in the next queue, too.
    members = [team + teams[i - 1][: len(teams[i - 1]) // 4] for i, team in enumerate(teams)]
    queues = tuple(replace(plan, members=members[i]) for i, plan in enumerate(plans))
    ring_groups = (
        Queue("Reception", ("+61255500800",), OFFICE[:3] + teams[2], 0.08, 90.0, 60.0, 25.0),
        Queue("Équipe de nuit", ("+61255500900",), OFFICE[1:3] + teams[3], 0.02, 200.0, 90.0, 40.0, "Reception"),
    )
    return replace(centre, queues=queues, ring_groups=ring_groups, office=centre.office or OFFICE)


def person(position: int) -> str:
    """The name of the user at a position: no two alike."""
    first_names, last_names = FIRST_NAMES.split(), LAST_NAMES.split()
    turn, first = divmod(position, len(first_names))
    again, turn = divmod(turn, len(last_names))
    name = f"{first_names[first]} {last_names[(7 * first + turn) % len(last_names)]}"
    return f"{name} {again + 1}" if again else name


@dataclass(frozen=True)
class PhoneBook:
    """Every number of a simulation; calls hold positions in `numbers`: outside, anonymous, then the centre's own."""

    numbers: tuple[str, ...]
    first_anonymous: int
    first_inbound: int
    first_extension: int
    first_direct: int


def write_phone_book(centre: CallCentre) -> PhoneBook:
    """Collect the numbers; those outside come from ranges kept for fiction, which no subscriber ever has.

    Source: the lists of ACMA (Australia), Ofcom (Britain) and NANPA (North America).
    """
    outside = [f"+61{area}{n:04}" for area in ("35550", "75550", "85550", "37010", "77010") for n in range(10_000)]
    outside += [f"+44{area}{n:03}" for area in ("2079460", "7700900") for n in range(1000)]
    outside += [f"+1{area}55501{n:02}" for area in (212, 312, 415, 604, 808) for n in range(100)]
    inbound = [number for place in centre.places for number in place.numbers]
    numbers = (*outside, *ANONYMOUS, *inbound, *centre.extensions.values(), *centre.direct_numbers.values())
    first_inbound = len(outside) + len(ANONYMOUS)
    first_extension = first_inbound + len(inbound)
    first_direct = first_extension + len(centre.users)
    return PhoneBook(numbers, len(outside), first_inbound, first_extension, first_direct)
