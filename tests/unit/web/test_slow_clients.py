"""Slow senders, readers that do not read, and too many connections: nobody else waits for them."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from gatehouse.web.server import Server, serve
from tests.support.sockets import (
    AUTH,
    MEBIBYTE,
    app,
    connected,
    everything,
    exchange,
    problem,
    serving,
    upload_head,
    within,
)


class TestSlowClients:
    def test_a_head_that_does_not_come_is_408(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost:")
            line, document = problem(within(6, lambda: everything(connection)))
        assert line.split()[1] == "408"
        assert document["code"] == "too-slow"

    def test_a_head_that_drips_is_408(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.settimeout(0.1)
            received, began = b"", time.monotonic()
            while not received and time.monotonic() - began < 6:
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(b"G")
                with suppress(TimeoutError):
                    received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.0 408 ")

    def test_a_connection_that_says_nothing_is_closed(self, strict: Server) -> None:
        with connected(strict) as connection:
            assert within(6, lambda: everything(connection)) == b""

    def test_empty_lines_are_no_request_and_buy_no_time(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.settimeout(0.1)
            closed, began = False, time.monotonic()
            while not closed and time.monotonic() - began < 6:
                try:
                    connection.sendall(b"\r\n\r\n")
                    closed = connection.recv(1) == b""
                except TimeoutError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    closed = True
        assert closed

    def test_a_body_that_stops_is_408(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.sendall(upload_head(500_000) + b"x" * 100_000)
            line, _ = problem(within(8, lambda: everything(connection)))
        assert line.split()[1] == "408"
        assert "1000 bytes a second" in line

    def test_a_body_that_drips_below_the_pace_is_408_and_others_are_served_meanwhile(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.sendall(upload_head(500_000))
            connection.settimeout(0.1)
            received, began = b"", time.monotonic()
            while not received and time.monotonic() - began < 8:
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(b"x" * 20)
                answer = within(1, lambda: exchange(strict, b"GET /other HTTP/1.0\r\n\r\n"))
                assert answer.endswith(b"GET 0")
                with suppress(TimeoutError):
                    received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 408 ")
        assert strict.spool.used == 0

    def test_a_body_that_keeps_the_pace_is_taken_though_it_is_slow(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.sendall(upload_head(12_000, AUTH + "Connection: close\r\n"))
            for _ in range(12):
                connection.sendall(b"x" * 1000)
                time.sleep(0.2)
            assert everything(connection).endswith(b"POST 12000")

    def test_a_body_may_not_take_for_ever_though_it_keeps_the_pace(self, strict: Server) -> None:
        with connected(strict) as connection:
            connection.sendall(upload_head(MEBIBYTE))
            connection.settimeout(0.1)
            received, began = b"", time.monotonic()
            while not received and time.monotonic() - began < 9:
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(b"x" * 400)
                with suppress(TimeoutError):
                    received = connection.recv(65536)
        assert b"408 The request was not complete after 2 seconds." in received

    def test_work_that_takes_long_is_not_the_clients_slowness(self, strict: Server) -> None:
        with connected(strict) as connection:
            for _ in range(2):
                connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
                received = b""
                while not received.endswith(b"GET 0"):
                    received += connection.recv(65536)
                assert received.startswith(b"HTTP/1.1 200 ")

    def test_readers_that_do_not_read_are_cut_off_and_hold_no_thread_for_long(self, strict: Server) -> None:
        with connected(strict) as one, connected(strict) as two, connected(strict) as three:
            for connection in (one, two, three):
                connection.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            # There are two threads, and both may be writing to those who do not read.
            answer = within(10, lambda: exchange(strict, b"GET /other HTTP/1.0\r\n\r\n"))
            assert answer.endswith(b"GET 0")


def test_a_reader_of_a_blob_that_does_not_read_holds_no_thread(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    with blob.open("wb") as sparse:
        sparse.truncate(64 * MEBIBYTE)

    def blobs(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        start_response(
            "200 OK", [("Content-Length", str(64 * MEBIBYTE if environ["PATH_INFO"] == "/blob" else 2))]
        )
        if environ["PATH_INFO"] != "/blob":
            return [b"ok"]
        return environ["wsgi.file_wrapper"](blob.open("rb"), 65536)

    with serving(tmp_path / "spool", app=blobs, threads=1) as server, connected(server) as idle:
        idle.sendall(b"GET /blob HTTP/1.0\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.0 200"
        assert within(1, lambda: exchange(server, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"ok")


def test_more_connections_than_it_takes_do_not_shut_others_out(tmp_path: Path) -> None:
    with serving(tmp_path / "spool", connections=12, head_seconds=10.0) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
        try:
            answer = within(6, lambda: exchange(server, b"GET / HTTP/1.0\r\n\r\n"))
            assert answer.endswith(b"GET 0")
        finally:
            for connection in idle:
                connection.close()


def test_a_connection_closed_between_two_turns_is_not_waited_for(tmp_path: Path) -> None:
    # Its number would be that of the next connection, which would be closed for it.
    server = serve(app, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path)
    with connected(server):
        (listener,) = server._listeners
        while not listener.active_channels:
            server._turn(1.0)
        (channel,) = listener.active_channels.values()
        assert channel.readable()
        channel.handle_close()
        channel.total_outbufs_len = 1
        assert not channel.readable()
        assert not channel.writable()
    server.stop()
    server.run()
