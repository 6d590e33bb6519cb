"""Serves the report on loopback and makes it anew for each published night. It reads only the published marts.

The page is the report plus a script that asks every few seconds which night is published, and reloads the page for a
new one. Only this machine's names are accepted as Host, so that no web page can read it by DNS rebinding.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.errors import CallsError, UsageError
from pipelines.report import make_report
from pipelines.report.definitions import published_night
from pipelines.warehouse import Target

HOST = "127.0.0.1"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}


class Pages:
    """The page of the published night, made once per night for all readers."""

    def __init__(self, target: Target, *, show_numbers: bool) -> None:
        self._target = target
        self._show_numbers = show_numbers
        self._made: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def night(self) -> str:
        """An identifier of the published night."""
        return published_night(self._target)

    def page(self) -> str:
        """The HTML of the published night. Raises `NothingPublished`."""
        with self._lock:
            night = self.night()  # read before the marts, so that the page notices a night published meanwhile
            if self._made is None or self._made[0] != night:
                page = make_report(self._target, show_numbers=self._show_numbers, night=night)
                self._made = (night, page)
            return self._made[1]


def make_app(pages: Pages) -> Starlette:
    """The application: `/` is the page, `/night` identifies the published night. Refuses Hosts of other machines."""

    def show(_: Request) -> Response:
        return HTMLResponse(pages.page(), headers=HEADERS)

    def show_night(_: Request) -> Response:
        return PlainTextResponse(pages.night(), headers=HEADERS)

    def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), status_code=503, headers=HEADERS)

    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(
        routes=[Route("/", show), Route("/night", show_night)],
        middleware=[hosts],
        exception_handlers={CallsError: refuse},
    )


def serve(target: Target, port: int, *, show_numbers: bool, notify: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Raises `UsageError` if the port is taken, `NothingPublished` if nothing is published.

    `notify` gets the address as a sentence.
    """
    pages = Pages(target, show_numbers=show_numbers)
    pages.page()  # raises an error here, before a browser gets one
    try:
        listener = socket.create_server((HOST, port))
    except OSError:
        raise UsageError(f"Port {port} is taken. Choose another: --port, or --port 0 for any free port.") from None
    notify(f"The dashboard is at http://{HOST}:{listener.getsockname()[1]}/ until Ctrl-C.")
    settings = uvicorn.Config(make_app(pages), log_level="critical", access_log=False, timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt), listener:
        asyncio.run(uvicorn.Server(settings).serve([listener]))
