"""HTTP/1.1 over plain sockets, a thread a connection, so that an answer can also be a reset, a silence or half a body.

The standard library's HTTP server offers no hold on the socket without subclassing most of it.
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
    """A request as it arrived; `parameters` are the query's, in order, values decoded."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    headers: Message
    body: bytes
    keep_alive: bool


@dataclass(frozen=True)
class Answer:
    """An answer and how it gets there.

    delivery: "whole"; "truncated", half the body under the length of all of it; "reset", the connection is reset;
    "hang", nothing for `seconds`, then the connection closes; "drip", the body a piece at a time over `seconds`.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (JSON,)
    delivery: Literal["whole", "truncated", "reset", "hang", "drip"] = "whole"
    seconds: float = 0.0


class Listener:
    """Serves `handle` on a port of 127.0.0.1 (0: a free one) from creation until `stop`, which sets `stopping`."""

    def __init__(self, handle: Callable[[Request], Answer], port: int, stopping: threading.Event) -> None:
        self._handle, self._stopping = handle, stopping
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close every connection, whatever it is doing, and wait for its thread."""
        self._stopping.set()
        # accept() cannot be interrupted portably, but a connection wakes it.
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
            # A connection that fails under us is the client's going, or our stopping: neither needs a word.
            with suppress(ConnectionError), connection, connection.makefile("rb") as reader:
                while request := read_request(reader):
                    whole = deliver(connection, self._handle(request), self._stopping)
                    if not (whole and request.keep_alive):
                        break
        finally:
            with self._lock:
                del self._connections[connection]


def read_request(reader: BinaryIO) -> Request | None:
    """The next request on a connection; None when there is none, or it is not HTTP."""
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


def deliver(connection: socket.socket, answer: Answer, stopping: threading.Event) -> bool:
    """Send `answer` as its `delivery` says; whether the connection can go on."""
    if answer.delivery == "hang":
        stopping.wait(answer.seconds)
        return False
    if answer.delivery == "reset":
        # Closing with nothing left to linger for sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if answer.delivery == "truncated":
        connection.sendall(_head(answer) + answer.body[: len(answer.body) // 2])
        return False
    if answer.delivery == "drip":
        connection.sendall(_head(answer))
        return _drip(connection, answer, stopping)
    connection.sendall(_head(answer) + answer.body)
    return True


def _drip(connection: socket.socket, answer: Answer, stopping: threading.Event, pieces: int = 50) -> bool:
    size = -(-len(answer.body) // pieces)
    for start in range(0, len(answer.body), size):
        connection.sendall(answer.body[start : start + size])
        if stopping.wait(answer.seconds / pieces):
            return False
    return True


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Date: {formatdate(usegmt=True)}", f"Content-Length: {len(answer.body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
