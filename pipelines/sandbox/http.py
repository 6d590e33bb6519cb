"""HTTP/1.1 over plain sockets with one thread per connection: a response can be a reset, silence or half a body.

The standard library's HTTP server gives no control of the socket without subclassing most of it.
"""

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO, Literal
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
    keep_alive: bool


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


class Listener:
    """Serves `handle` on a port of 127.0.0.1 (0: any free one) from its creation to `stop`, which sets `stopping`."""

    def __init__(self, handle: Callable[[Request], Response], port: int, stopping: threading.Event) -> None:
        self._handle, self._stopping = handle, stopping
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close every connection, busy or not, and wait for its thread."""
        self._stopping.set()
        # No portable call interrupts accept(), but a connection does.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            self._accepting.join()
        self._socket.close()
        with self._lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stopping.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._converse, args=(connection,), name="sandbox-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            # A connection fails when the client leaves or the server stops; neither is an error.
            with suppress(ConnectionError), connection, connection.makefile("rb") as reader:
                while request := read_request(reader):
                    whole = deliver(connection, self._handle(request), self._stopping)
                    if not (whole and request.keep_alive):
                        break
        finally:
            with self._lock:
                del self._connections[connection]


def read_request(reader: BinaryIO) -> Request | None:
    """The next request on a connection; None if there is none or if it is not HTTP."""
    try:
        method, target, version = reader.readline(65_537).decode("latin-1").split()
        headers = http.client.parse_headers(reader)
        body = reader.read(int(headers.get("Content-Length", "0")))
        url = urlsplit(target)
        parameters = tuple(parse_qsl(url.query, keep_blank_values=True))
    except (ValueError, http.client.HTTPException):
        return None
    keep_alive = version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
    return Request(method, url.path, parameters, headers, body, keep_alive)


def deliver(connection: socket.socket, response: Response, stopping: threading.Event) -> bool:
    """Send `response` as its `delivery` says. Returns whether the connection stays open."""
    if response.delivery == "hang":
        stopping.wait(response.seconds)
        return False
    if response.delivery == "reset":
        # With a linger time of 0, closing sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if response.delivery == "truncated":
        connection.sendall(_head(response) + response.body[: len(response.body) // 2])
        return False
    if response.delivery == "drip":
        connection.sendall(_head(response))
        return _drip(connection, response, stopping)
    connection.sendall(_head(response) + response.body)
    return True


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
