"""Default queues and people for a centre of any volume."""

import math
from dataclasses import replace

from pipelines.sandbox.callcentre.parameters import CallCentre, Queue

FIRST_NAMES = (
    "Zoë Jürgen Anaïs Mateo Priya Tāne Chloé Oluwaseun Ingrid Łukasz Mei Søren Aroha Dimitri Fatima Björn "
    "Renée Hemi Saoirse Iñaki Yuki Thảo Noor Ewan"
)
LAST_NAMES = (
    "Müller Nguyễn O'Connor Ångström García Singh Te-Rangi Dvořák Smith Papadopoulos Żak Brown Çelik Fernández "
    "Kowalski Weiß Tanaka Østergaard D'Souza Martin Hâncu Šimić Okafor Wilson"
)
OFFICE = ("山田 花子", "Ó Briain, Seán", "Alex Taylor", "Noor El-Sayed")
PLANS = (  # name, numbers, members, share, mean talk, mean patience, time-out, overflow
    Queue("Support", ("+61255500000", "+61255500001"), (), 0.40, 280.0, 240.0, 150.0, "Reception"),
    Queue("Sales", ("+61255500100", "+61255500101"), (), 0.32, 220.0, 180.0, 90.0, "Support"),
    Queue("Billing & Accounts", ("+61255500200",), (), 0.18, 200.0, 200.0, 120.0),
    Queue("Vertrieb \u2013 Süd", ("+61255500300",), (), 0.10, 260.0, 150.0, 60.0, "Sales"),
)


def staffed(centre: CallCentre) -> CallCentre:
    """The centre itself if it has queues, else the centre with four queues and two ring groups for its volume."""
    if centre.queues:
        return centre
    teams = _hire(centre)
    # A quarter of each team also serves the next queue.
    members = [team + teams[i - 1][: len(teams[i - 1]) // 4] for i, team in enumerate(teams)]
    queues = tuple(replace(plan, members=members[i]) for i, plan in enumerate(PLANS))
    ring_groups = (
        Queue("Reception", ("+61255500800",), OFFICE[:3] + teams[2], 0.08, 90.0, 60.0, 25.0),
        Queue("Équipe de nuit", ("+61255500900",), OFFICE[1:3] + teams[3], 0.02, 200.0, 90.0, 40.0, "Reception"),
    )
    return replace(centre, queues=queues, ring_groups=ring_groups, office=centre.office or OFFICE)


def _hire(centre: CallCentre) -> list[tuple[str, ...]]:
    """A team for each plan, as large as its average load in the busiest hour of Tuesday to Friday."""
    busiest = max(centre.hour_weights[24:120]) / (sum(centre.hour_weights[:120]) / 5)  # Mondays exceed it
    teams: list[tuple[str, ...]] = []
    for plan in PLANS:
        load = centre.calls_per_day * plan.share * busiest * plan.talk_seconds / 3600  # erlangs
        first = sum(map(len, teams))
        teams.append(tuple(person(first + i) for i in range(max(2, math.ceil(load)))))
    return teams


def person(position: int) -> str:
    """The name of the user at a position; no two positions have the same."""
    first_names, last_names = FIRST_NAMES.split(), LAST_NAMES.split()
    turn, first = divmod(position, len(first_names))
    again, turn = divmod(turn, len(last_names))
    name = f"{first_names[first]} {last_names[(7 * first + turn) % len(last_names)]}"
    return f"{name} {again + 1}" if again else name
