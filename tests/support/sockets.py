"""A server on a real socket, and a client that says exactly what a test wants, byte by byte.

Time that decides is on a clock that the test moves, so that no machine is too busy for these tests.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from gatehouse.web.server import Server, serve

MEBIBYTE = 1024 * 1024
#: How long a client waits for what is not timed: on a busy machine anything may take a while.
PATIENCE = 60.0
AUTH = "Authorization: Basic eDp5\r\n"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Says how long the body was; `/large` answers with 64 MiB in pieces."""
    path = environ["PATH_INFO"]
    length, stream = 0, environ["wsgi.input"]
    while chunk := stream.read(MEBIBYTE):
        length += len(chunk)
    body = [b"x" * MEBIBYTE] * 64 if path == "/large" else [f"{environ['REQUEST_METHOD']} {length}".encode()]
    if path == "/environ":
        body = [json.dumps({key: str(value) for key, value in environ.items()}).encode()]
    if path == "/broken":
        raise RuntimeError("hunter2")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(sum(map(len, body))))])
    return body


class Work:
    """An application that says when it has begun on `/slow`, and ends when it is told to; else as `app`."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
        return app(environ, start_response)


class Seconds:
    """A clock that a test moves, or that goes `step` with each turn of a watched server's loop."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """A server that is on the clock of a test, and looks at it in every turn of its loop."""

    def __init__(self, server: Server, clock: Seconds) -> None:
        self.server = server
        self.clock = clock

    def passes(self, seconds: float) -> None:
        """Let the loop take in what was sent, time pass, and the loop see that it did."""
        self._turn()
        self.clock.now += seconds
        self._turn()

    def until(self, answer: Future[bytes], *, step: float, most: float) -> bytes:
        """Let the loop turn, and time pass by a step with each turn and up to `most`, until there is an answer."""
        end = self.clock.now + most
        self.clock.step = step
        while not answer.done():
            if self.clock.now >= end:
                self.clock.step = 0.0
            self.server._listeners[0].pull_trigger()
            wait([answer], 0.01)
        self.clock.step = 0.0
        return answer.result()

    def _turn(self) -> None:
        # What was sent on other connections before this one is there when the loop takes this one.
        assert exchange(self.server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"GET 0")


@contextmanager
def watched(temp_dir: Path, **limits: Any) -> Iterator[Watch]:
    """A server whose time the test moves."""
    clock = Seconds()
    with serving(temp_dir, clock=clock, **limits) as server:
        yield Watch(server, clock)


@contextmanager
def serving(temp_dir: Path, *, clock: Seconds | None = None, **limits: Any) -> Iterator[Server]:
    limits = {"max_body": MEBIBYTE, "linger_seconds": PATIENCE, **limits}
    if clock is not None:
        limits["clock"] = clock
    server = serve(limits.pop("app", app), "127.0.0.1", 0, temp_dir=temp_dir, **limits)
    if clock is not None:
        _look_in_every_turn(server, clock)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def _look_in_every_turn(server: Server, clock: Seconds) -> None:
    (listener,) = server._listeners
    maintenance = listener.maintenance

    def look(now: float) -> None:
        clock.now += clock.step
        maintenance(now)

    listener.adj.cleanup_interval = 0
    listener.maintenance = look


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def exchange(server: Server, data: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(data)
        return everything(connection)


def problem(answer: bytes) -> tuple[str, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Server:" not in head
    document: dict[str, Any] = json.loads(body)
    return head.split(b"\r\n")[0].decode("latin-1"), document


def finished(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return everything(connection)


def upload_head(length: int, extra: str = AUTH) -> bytes:
    return f"POST /legacy/ HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {length}\r\n\r\n".encode()


CHUNKED_HEAD = f"POST /legacy/ HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n".encode()
