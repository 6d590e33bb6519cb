"""The nightly job's log: `logs/calls.log` in the state folder, one line per event, readable by the user alone.

It holds what the summary and the messages hold: no key and no phone number. A log that cannot be written stops nothing.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pipelines.files import home

MAX_BYTES = 1_000_000
KEPT = 5  # older files: about a year of nights


def log_path() -> Path:
    """The log file."""
    return home() / "logs" / "calls.log"


@contextmanager
def open_log() -> Iterator[logging.Logger]:
    """A logger that writes to the log file until the context ends."""
    logger = logging.Logger("calls", logging.INFO)  # outside logging's tree: no other handlers, no other lines
    handler = _file_handler()
    if handler is not None:
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        if handler is not None:
            with suppress(OSError):  # a full disk, which the run has reported
                handler.close()


def _file_handler() -> logging.Handler | None:
    path = log_path()
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
        handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")
        formatter = logging.Formatter(f"%(asctime)sZ {os.getpid()} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        handler.handleError = _ignore  # type: ignore[method-assign, assignment]  # how logging lets it be replaced
        return handler
    return None


def _ignore(_record: logging.LogRecord) -> None:
    """Drop a record that a full disk does not take; logging would print a traceback."""
