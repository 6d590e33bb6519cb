"""One customer of the simulated PBX: key, lists, manner of speech and rights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.sandbox.faults import RetryForm
from pipelines.sandbox.responses import Style


@dataclass
class Account:
    """All but `name`, `key` and `tables` may be changed while it is served.

    `tables` by endpoint ("user_calls", "queue_calls", "ringgroup_calls"; a missing one is empty), as `MovingList` takes
    them. `requests` in any `window_seconds` are answered; the rest, which count too, get 429, with Retry-After as
    `retry_form` says. `licensed`: whether click-to-call is paid for. `shuffle_ties`: the rows of one second come in
    another order each time.
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
