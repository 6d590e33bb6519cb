"""The nightly job's log: `logs/calls.log` in the state folder, one line per event, readable by the user alone.

It holds what the summary and the messages hold: no key and no phone number. A log that cannot be written stops nothing.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler

from pipelines.files import home

MAX_BYTES = 1_000_000
KEPT = 5  # older files: about a year of nights


@contextmanager
def open_log() -> Iterator[logging.Logger]:
    """A logger that writes to the log file until the context ends."""
    logger = logging.Logger("calls", logging.INFO)  # outside logging's tree: no other handlers, no other lines
    path = home() / "logs" / "calls.log"
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        logger.addHandler(RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8"))
    formatter = logging.Formatter(f"%(asctime)sZ {os.getpid()} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    for handler in logger.handlers:
        handler.setFormatter(formatter)
    try:
        yield logger
    finally:
        for handler in logger.handlers:
            with suppress(OSError):  # a full disk, which the run has reported
                handler.close()
