"""A server on a real socket, and a client that says exactly what a test wants, byte by byte."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from gatehouse.web.server import Server, serve

MEBIBYTE = 1024 * 1024
AUTH = "Authorization: Basic eDp5\r\n"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Says how long the body was; `/large` answers with 64 MiB in pieces, `/slow` after a while."""
    path = environ["PATH_INFO"]
    length, stream = 0, environ["wsgi.input"]
    while chunk := stream.read(MEBIBYTE):
        length += len(chunk)
    if path == "/slow":
        time.sleep(1)
    body = [b"x" * MEBIBYTE] * 64 if path == "/large" else [f"{environ['REQUEST_METHOD']} {length}".encode()]
    if path == "/environ":
        body = [json.dumps({key: str(value) for key, value in environ.items()}).encode()]
    if path == "/broken":
        raise RuntimeError("hunter2")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(sum(map(len, body))))])
    return body


@contextmanager
def serving(temp_dir: Path, **limits: Any) -> Iterator[Server]:
    limits = {"max_body": MEBIBYTE, "linger_seconds": 2.0, **limits}
    server = serve(limits.pop("app", app), "127.0.0.1", 0, temp_dir=temp_dir, **limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(15)
        assert not thread.is_alive()


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
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


def within(seconds: float, act: Callable[[], bytes]) -> bytes:
    """What an act gives, which must not be kept waiting: a stall that this guards against lasts much longer."""
    began = time.monotonic()
    result = act()
    assert time.monotonic() - began < seconds
    return result
