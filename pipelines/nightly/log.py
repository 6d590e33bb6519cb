"""The nightly job's log: `logs/calls.log` in the state folder, a line an event, the user's alone, a few files at most.

It holds what the summary and the messages hold: no key, no phone number. A log that cannot be written stops nothing.
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
    """Where the log is."""
    return home() / "logs" / "calls.log"


@contextmanager
def open_log() -> Iterator[logging.Logger]:
    """A logger that writes there until the end."""
    logger = logging.Logger("calls", logging.INFO)  # of its own: nobody else's handlers, nobody else's lines
    handler = _handler()
    if handler is not None:
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        if handler is not None:
            with suppress(OSError):  # the disk is full, and the run has said so
                handler.close()


def _handler() -> logging.Handler | None:
    path = log_path()
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
        handler = RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")
        formatter = logging.Formatter(f"%(asctime)sZ {os.getpid()} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        handler.handleError = _say_nothing  # type: ignore[method-assign, assignment]  # logging's own way
        return handler
    return None


def _say_nothing(_record: logging.LogRecord) -> None:
    """A full disk: no traceback on the screen."""
