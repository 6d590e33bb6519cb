"""A PBX on which callers were lost, and the readers' copy of its calls, made once for all tests of a file."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.sandbox.account import Account
from pipelines.sandbox.responses import Style, WireRow
from pipelines.sandbox.server import SimulatedPBX
from tests.support.messages import KEY
from tests.support.site import CALLS, MINE, SECTION, Site, queue_call, ringgroup_call, user_call

ZONE = "Australia/Sydney"
NOW = datetime.now(UTC).replace(microsecond=0)
SUPPORT, RECEPTION, SALES, ODD = "+61491570156", "+442079460123", "+61491570006", "desk.phone"
CALLED_BACK, TOO_LATE = "+61491570157", "+61491570158"
MakeSite = Callable[..., Site]


def given_up(hours: float, seconds: int, number: str | None, queue: str = "Sales") -> WireRow:
    """A queue call of so many hours ago, abandoned after `seconds`."""
    start = NOW - timedelta(hours=hours)
    unanswered = {"call_answered_at": None, "answered_by_user_name": None, "status": "abandoned"}
    end = start + timedelta(seconds=seconds)
    return queue_call(start, call_finished_at=end, callerid=number, queue_name=queue, **unanswered)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The readers' copy: four callers are lost; others were answered, called back, too late, or are anonymous."""
    folder = tmp_path_factory.mktemp("published")
    back = user_call(NOW - timedelta(hours=9), is_inbound=0, from_number="+61255501001", to_number=CALLED_BACK)
    queues = [
        given_up(1, 10, ODD),
        given_up(2, 65, SALES, "Support"),
        given_up(5, 40, SALES),
        given_up(10, 30, CALLED_BACK),
        given_up(11, 30, "anonymous"),
        given_up(70, 20, SUPPORT, "Support"),
        given_up(80, 20, TOO_LATE),
        queue_call(NOW - timedelta(hours=3), callerid="+61491570159"),
    ]
    group = [ringgroup_call(NOW - timedelta(hours=30), callerid=RECEPTION)]
    account = Account(
        KEY, {"queue_calls": queues, "ringgroup_calls": group, "user_calls": [back]}, style=Style(timezone=ZONE)
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MINE)}
    with SimulatedPBX(account) as pbx:
        settings = {"BASE_URL": pbx.base_url, "API_KEY": KEY, "TIMEZONE": ZONE}
        environment = kept | {f"{SECTION}{name}": value for name, value in settings.items()}
        environment |= {"CALLS_HOME": str(folder / "state")}
        ran = subprocess.run([CALLS, "run"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder / "published"


@pytest.fixture
def site(make_site: MakeSite, published: Path) -> Site:
    """A PBX that can ring, and the readers' copy, without a warehouse beside it."""
    made = make_site(Account(KEY, style=Style(timezone=ZONE)))
    shutil.copytree(published, made.folder / "published", symlinks=True)
    return made
