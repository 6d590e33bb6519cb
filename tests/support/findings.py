"""What `calls doctor` finds at a site."""

from typing import Any

import orjson

from tests.support.messages import KEY
from tests.support.site import Site


def examine(site: Site, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and each finding by what was looked at."""
    ran = site.run("doctor", "--json", *arguments)
    assert KEY not in ran.out + ran.err
    assert "Traceback" not in ran.err
    return ran.code, {one["what"]: one for one in orjson.loads(ran.out)["findings"]}


def failed(found: dict[str, Any]) -> dict[str, int]:
    """The exit codes of what failed."""
    return {what: one["exit_code"] for what, one in found.items() if one["verdict"] == "fail"}
