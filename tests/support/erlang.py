"""Call centres as in the textbooks, and what queueing theory says of them."""

import math
from dataclasses import replace

from pipelines.sandbox.callcentre import CallCentre, Queue

FIRST_CALLS_ONLY = CallCentre(  # nobody rings twice and users make no calls, so all calls are arrivals
    queues=(Queue("Only", ("+61255500000",), ("Zoë Müller",), patience_seconds=30.0),),
    redial_share=0.0,
    callback_share=0.0,
    direct_share=0.0,
    outbound_share=0.0,
    internal_share=0.0,
)


def plain(agents: int, calls_per_hour: float, patience_hours: float = math.inf) -> CallCentre:
    """One textbook queue with about 150,000 calls. Talks take an hour, so that whole seconds do not matter."""
    names = tuple(f"Agent {i}" for i in range(agents))
    queue = Queue("Only", ("+61255500000",), names, talk_seconds=3600.0, patience_seconds=3600 * patience_hours)
    return replace(
        FIRST_CALLS_ONLY,
        timezone="UTC",
        days=math.ceil(150_000 / calls_per_hour / 24),
        calls_per_day=24 * calls_per_hour,
        hour_weights=(1.0,) * 168,
        queues=(queue,),
        talk_shape="exponential",
        answer_seconds=0.0,
    )


def erlang_a(agents: int, calls_per_hour: float, patience_hours: float) -> tuple[float, float, float]:
    """The share that waits, the share that gives up and the mean wait of all, in an M/M/c+M queue (birth-death)."""
    weights = [1.0]
    for present in range(1, 500):
        leaving = min(present, agents) + max(present - agents, 0) / patience_hours
        weights.append(weights[-1] * calls_per_hour / leaving)
    waiting = sum(max(present - agents, 0) * weight for present, weight in enumerate(weights)) / sum(weights)
    mean_wait = waiting / calls_per_hour  # Little's law
    return sum(weights[agents:]) / sum(weights), mean_wait / patience_hours, mean_wait
