"""Serves the report on loopback, made anew when another night is published. Reads the published marts and no more.

It is the same page, plus a script that asks every few seconds which night is published and loads the page again.
Only names of this machine are accepted as Host, so that no web page can read it through a name that it rebinds.
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
    """The page of the night that is published: made once a night, however many look at it."""

    def __init__(self, target: Target, *, show_numbers: bool) -> None:
        self._target = target
        self._show_numbers = show_numbers
        self._made: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def night(self) -> str:
        """Which night is published."""
        return published_night(self._target)

    def page(self) -> str:
        """Its HTML. Raises `NothingPublished`."""
        with self._lock:
            night = self.night()  # before the marts are read: one published meanwhile is noticed by the page
            if self._made is None or self._made[0] != night:
                page = make_report(self._target, show_numbers=self._show_numbers, night=night)
                self._made = (night, page)
            return self._made[1]


def make_app(pages: Pages) -> Starlette:
    """`/` is the page, `/night` the night that is published. Every other Host than this machine's is refused."""

    def show(_: Request) -> Response:
        return HTMLResponse(pages.page(), headers=HEADERS)

    def tell(_: Request) -> Response:
        return PlainTextResponse(pages.night(), headers=HEADERS)

    def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), status_code=503, headers=HEADERS)

    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(
        routes=[Route("/", show), Route("/night", tell)], middleware=[hosts], exception_handlers={CallsError: refuse}
    )


def serve(target: Target, port: int, *, show_numbers: bool, tell: Callable[[str], None]) -> None:
    """Serves until Ctrl-C. Raises `UsageError` where the port is taken, `NothingPublished` with nothing published."""
    pages = Pages(target, show_numbers=show_numbers)
    pages.page()  # what cannot be shown is said here, and not to a browser
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        raise UsageError(f"Port {port} is taken. Choose another: --port, or --port 0 for any that is free.") from None
    tell(f"The dashboard is at http://{HOST}:{listener.getsockname()[1]}/ until Ctrl-C.")
    settings = uvicorn.Config(make_app(pages), log_level="critical", access_log=False, timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt), listener:
        asyncio.run(uvicorn.Server(settings).serve([listener]))
