"""HTTP/1.1 with one thread per connection: a response can be a reset, silence or half a body."""

import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

JSON = ("Content-Type", "application/json")


@dataclass(frozen=True)
class Request:
    """A request as it arrived. `parameters` are the query's, decoded and in order."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response and how it is sent.

    delivery: "whole"; "truncated": half the body, with the Content-Length of all of it; "reset": the connection is
        reset; "hang": nothing for `seconds`, then the connection closes; "drip": the body in pieces over `seconds`.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (JSON,)
    delivery: Literal["whole", "truncated", "reset", "hang", "drip"] = "whole"
    seconds: float = 0.0


class Listener(socketserver.ThreadingTCPServer):
    """Serves `answer` on a port of 127.0.0.1 (0: any free one) from its creation to `stop`, which sets `stopping`."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[Request], Response], port: int, stopping: threading.Event) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.answer, self.stopping = answer, stopping
        self._open: set[Any] = set()  # sockets
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close every connection, busy or not, and wait for its thread."""
        self.stopping.set()
        self.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a connection's thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection without the usual shutdown before, which a client would see instead of a reset."""
        self._open.discard(request)
        self.close_request(request)


class _Connection(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client leaves or the server stops; neither is an error
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parameters = tuple(parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        response = self.server.answer(Request(self.command, url.path, parameters, self.headers, body))
        is_whole = deliver(self.connection, response, self.server.stopping)
        self.close_connection = self.close_connection or not is_whole

    do_POST = do_GET

    def send_error(self, *_: Any) -> None:  # called for what is not HTTP
        self.close_connection = True


def deliver(connection: socket.socket, response: Response, stopping: threading.Event) -> bool:
    """Send `response` as its `delivery` says. Returns whether the connection stays open."""
    match response.delivery:
        case "hang":
            stopping.wait(response.seconds)
        case "reset":
            # With a linger time of 0, closing sends a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case "truncated":
            connection.sendall(_head(response) + response.body[: len(response.body) // 2])
        case "drip":
            connection.sendall(_head(response))
            return _drip(connection, response, stopping)
        case "whole":
            connection.sendall(_head(response) + response.body)
            return True
    return False


def _drip(connection: socket.socket, response: Response, stopping: threading.Event, pieces: int = 50) -> bool:
    size = -(-len(response.body) // pieces)
    for start in range(0, len(response.body), size):
        connection.sendall(response.body[start : start + size])
        if stopping.wait(response.seconds / pieces):
            return False
    return True


def _head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines += [f"Date: {formatdate(usegmt=True)}", f"Content-Length: {len(response.body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
