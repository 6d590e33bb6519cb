"""What the tests of `pipelines/deploy/` share: its files."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "pipelines" / "deploy"


def container_steps(instruction: str) -> list[str]:
    """What the Containerfile says after each instruction of this name."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)
