"""Files of the user alone, replaced whole: whoever reads sees the old one or the new, and nobody else sees either."""

import os
from pathlib import Path

import platformdirs

from pipelines.errors import SettingsError


def replace_private(path: Path, text: str) -> None:
    """Writes `text` in place of the file, in UTF-8, 0600, its folder 0700. Raises `OSError`, and keeps the old one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a run that was killed, perhaps with other rights
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)  # on the disk before it is renamed: a power cut leaves one of the two
    new.replace(path)


def home() -> Path:
    """Where ledger, locks and dlt's working folder live: `CALLS_HOME`, or the user's state folder."""
    return full_path(os.environ.get("CALLS_HOME") or platformdirs.user_state_path("call-warehouse"))


def full_path(path: str | Path) -> Path:
    """The path from the root on, with `~` put in full. Raises `SettingsError`."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # ~somebody
        raise SettingsError(f"The path {path} begins with a user who is not known here. Write it in full.") from None
