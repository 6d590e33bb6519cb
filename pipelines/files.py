"""The user's state folder, and private files, replaced whole: a reader sees the old one or the new, never half."""

import os
from pathlib import Path

import platformdirs

from pipelines.errors import SettingsError


def replace_private(path: Path, text: str) -> None:
    """Replace the file by `text` in UTF-8, with mode 0600, in a folder of mode 0700.

    Raises `OSError`, and keeps the old file then.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a killed run, perhaps with another mode
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)  # on the disk before the rename: a power cut leaves one of the two, whole
    new.replace(path)


def home() -> Path:
    """The folder of the ledger, locks, log and dlt's working files: `CALLS_HOME`, or the user's state folder."""
    return full_path(os.environ.get("CALLS_HOME") or platformdirs.user_state_path("call-warehouse"))


def full_path(path: str | Path) -> Path:
    """The absolute path, with `~` expanded. Raises `SettingsError` for the `~` of an unknown user."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # ~somebody
        raise SettingsError(f"The path {path} begins with an unknown user's folder. Write it in full.") from None
