"""One account of the simulated PBX: its key, its calls, its style and its rights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.sandbox.faults import RetryForm
from pipelines.sandbox.responses import Style


@dataclass
class Account:
    """An account that a simulated PBX serves. All but `name`, `key` and `tables` may change while it is served.

    tables: calls by endpoint ("user_calls", "queue_calls", "ringgroup_calls"), as `MovingList` takes them; an endpoint
        that is not named has no calls.
    requests: in any `window_seconds` so many requests are answered. The others get 429, count too, and have a
        Retry-After header as `retry_form` says.
    licensed: whether the account may use click-to-call.
    shuffle_ties: whether rows of the same second come in a new order in each response.
    """

    key: str
    tables: "Mapping[str, pa.Table | Iterable[Mapping[str, object]]]" = field(default_factory=dict)
    style: Style = field(default_factory=Style)
    name: str = "main"
    whitelisted: bool = True
    requests: int = 100
    window_seconds: float = 900.0
    retry_form: RetryForm = "absent"
    licensed: bool = True
    shuffle_ties: bool = False
    system_status: object = field(default_factory=lambda: {"status": "operational"})
