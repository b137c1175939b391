"""Slow senders, readers that do not read, and too many connections: nobody else waits for them."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from gatehouse.web.server import serve
from tests.support.sockets import (
    AUTH,
    MEBIBYTE,
    PATIENCE,
    Seconds,
    Watch,
    Work,
    app,
    connected,
    everything,
    exchange,
    finished,
    problem,
    serving,
    upload_head,
    watched,
)

OTHER = b"GET /other HTTP/1.0\r\n\r\n"


def closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection on which it has nothing to say."""
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        connection.settimeout(PATIENCE)


class TestSlowClients:
    def test_a_head_that_does_not_come_is_408(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost:")
            strict.passes(10)
            line, document = problem(everything(connection))
        assert line.split()[1] == "408"
        assert document["code"] == "too-slow"

    def test_a_head_that_drips_is_408(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            for _ in range(10):
                connection.sendall(b"G")
                strict.passes(1)
            assert everything(connection).startswith(b"HTTP/1.0 408 ")

    def test_a_head_that_comes_in_time_is_answered_though_it_drips(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            for byte in b"GET /":
                connection.sendall(bytes([byte]))
                strict.passes(1.5)
            assert finished(connection, b" HTTP/1.0\r\n\r\n").endswith(b"GET 0")

    def test_a_connection_that_says_nothing_is_closed(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            strict.passes(9.9)
            assert not closed(connection)
            strict.passes(0.2)
            assert everything(connection) == b""

    def test_the_machines_clock_closes_a_connection_too(self, tmp_path: Path) -> None:
        with serving(tmp_path / "spool", head_seconds=0.1) as server, connected(server) as connection:
            assert everything(connection) == b""

    def test_empty_lines_are_no_request_and_buy_no_time(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            for _ in range(9):
                connection.sendall(b"\r\n\r\n")
                strict.passes(1)
            assert not closed(connection)
            strict.passes(1)
            assert closed(connection)

    def test_a_body_that_stops_is_408(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            connection.sendall(upload_head(500_000) + b"x" * 100_000)
            for _ in range(3):  # what came in the first span was enough, and nothing came in the second
                strict.passes(10)
            line, _ = problem(everything(connection))
        assert line.split()[1] == "408"
        assert "1000 bytes a second" in line

    def test_a_body_that_drips_below_the_pace_is_408_and_others_are_served_meanwhile(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            connection.sendall(upload_head(500_000))
            for _ in range(10):
                connection.sendall(b"x" * 900)
                assert not closed(connection)
                assert exchange(strict.server, OTHER).endswith(b"GET 0")
                strict.passes(1)
            assert everything(connection).startswith(b"HTTP/1.1 408 ")
        assert strict.server.spool.used == 0

    def test_a_body_that_keeps_the_pace_is_taken_though_it_is_slow(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            connection.sendall(upload_head(12 * 2000, AUTH + "Connection: close\r\n"))
            for _ in range(12):
                connection.sendall(b"x" * 2000)
                strict.passes(1.5)
            assert everything(connection).endswith(b"POST 24000")

    def test_a_body_may_not_take_for_ever_though_it_keeps_the_pace(self, strict: Watch) -> None:
        with connected(strict.server) as connection:
            connection.sendall(upload_head(MEBIBYTE))
            for _ in range(20):
                assert not closed(connection)
                connection.sendall(b"x" * 1500)
                strict.passes(1)
            assert b"408 The request was not complete after 20 seconds." in everything(connection)

    def test_work_that_takes_long_is_not_the_clients_slowness(self, tmp_path: Path) -> None:
        work = Work()
        with watched(tmp_path / "spool", app=work) as watch, connected(watch.server) as connection:
            for _ in range(2):
                connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
                assert work.begun.wait(PATIENCE)
                for _ in range(3):
                    watch.passes(3600)
                work.go_on.set()
                received = b""
                while not received.endswith(b"GET 0"):
                    received += connection.recv(65536)
                assert received.startswith(b"HTTP/1.1 200 ")
                work.begun.clear()
                work.go_on.clear()

    def test_readers_that_do_not_read_are_cut_off_and_hold_no_thread_for_long(self, strict: Watch) -> None:
        with (
            connected(strict.server) as one,
            connected(strict.server) as two,
            connected(strict.server) as three,
            ThreadPoolExecutor(1) as pool,
        ):
            for connection in (one, two, three):
                connection.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            # There are two threads, and both may be writing to those who do not read.
            answer = strict.until(pool.submit(exchange, strict.server, OTHER), step=2, most=60)
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

    # The clock stands still: nobody is cut off.
    with watched(tmp_path / "spool", app=blobs, threads=1) as watch, connected(watch.server) as idle:
        idle.sendall(b"GET /blob HTTP/1.0\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.0 200"
        assert exchange(watch.server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"ok")


def test_more_connections_than_it_takes_do_not_shut_others_out(tmp_path: Path) -> None:
    with watched(tmp_path / "spool", connections=12) as watch, ThreadPoolExecutor(1) as pool:
        address = ("127.0.0.1", watch.server.port)
        idle = [socket.create_connection(address, timeout=PATIENCE) for _ in range(20)]
        try:
            # Who says nothing has 30 seconds, and a tenth of that in a crowd.
            answer = watch.until(pool.submit(exchange, watch.server, OTHER), step=0.5, most=25)
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


def test_a_loop_that_looks_as_soon_as_work_ends_does_not_count_it_as_slowness(tmp_path: Path) -> None:
    clock, looked = Seconds(), Event()
    server = serve(app, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path, clock=clock)
    (listener,) = server._listeners
    wake = listener.pull_trigger

    def look_at_once() -> None:
        # Called by the thread that did the work, which has just taken the request off its list.
        (channel,) = listener.active_channels.values()
        assert not channel.requests
        clock.now += 3600
        channel.keep_time(crowded=False)
        looked.set()
        wake()

    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        listener.pull_trigger = look_at_once
        while not looked.is_set():
            server._turn(0.01)
        (channel,) = listener.active_channels.values()
        while channel.total_outbufs_len:
            server._turn(0.01)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert channel.connected
    listener.pull_trigger = wake
    server.stop()
    server.run()
