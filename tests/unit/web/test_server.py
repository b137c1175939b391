"""The server against real sockets: limits while bytes arrive, slow clients, framing, stopping."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.web.reception import MAX_HEAD, MAX_SMALL_BODY
from gatehouse.web.server import Server, serve
from tests.support.waiting import wait_until

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "spool") as ready:
        yield ready


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is patient for a second only."""
    limits = {"head_seconds": 1.0, "pace_seconds": 1.0, "pace_rate": 1000, "body_seconds": 2.0, "threads": 2}
    with serving(tmp_path_factory.mktemp("strict") / "spool", **limits) as ready:
        yield ready


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


class TestBodies:
    def test_a_body_within_the_limit_arrives_whole(self, server: Server) -> None:
        answer = exchange(server, upload_head(MEBIBYTE, AUTH + "Connection: close\r\n") + b"x" * MEBIBYTE)
        assert answer.endswith(b"POST 1048576")

    def test_a_chunked_body_within_the_limit_arrives_whole(self, server: Server) -> None:
        head = CHUNKED_HEAD.replace(b"Host: x", b"Host: x\r\nConnection: close")
        answer = exchange(server, head + b"186A0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n")
        assert answer.endswith(b"POST 100000")

    def test_a_length_over_the_limit_is_answered_without_reading_on(self, server: Server) -> None:
        line, document = problem(exchange(server, upload_head(MEBIBYTE + 1)))
        assert line == "HTTP/1.1 413 The request is larger than the 1048576 bytes that this index takes here."
        assert document["code"] == "too-large"
        assert document["detail"] in line

    def test_a_client_that_sends_all_of_it_still_reads_the_refusal(self, server: Server) -> None:
        with connected(server) as connection:
            connection.sendall(upload_head(32 * MEBIBYTE))
            with suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(32):
                    connection.sendall(b"x" * MEBIBYTE)
            assert problem(everything(connection))[1]["code"] == "too-large"

    def test_a_client_that_waits_for_100_continue_gets_the_refusal_instead(self, server: Server) -> None:
        answer = exchange(server, upload_head(MEBIBYTE + 1, AUTH + "Expect: 100-continue\r\n"))
        assert answer.startswith(b"HTTP/1.1 413 ")

    def test_a_client_that_waits_for_100_continue_gets_it(self, server: Server) -> None:
        with connected(server) as connection:
            connection.sendall(upload_head(3, AUTH + "Expect: 100-continue\r\nConnection: close\r\n"))
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"abc")
            assert everything(connection).endswith(b"POST 3")

    def test_chunks_are_refused_as_soon_as_they_exceed_the_limit(self, server: Server) -> None:
        with connected(server) as connection:
            connection.sendall(CHUNKED_HEAD)
            with suppress(BrokenPipeError, ConnectionResetError):
                # No end is ever sent.
                for _ in range(2):
                    connection.sendall(b"100000\r\n" + b"x" * MEBIBYTE + b"\r\n")
            assert problem(everything(connection))[1]["code"] == "too-large"

    def test_without_a_token_no_large_body_is_taken(self, server: Server) -> None:
        line, document = problem(exchange(server, upload_head(MAX_SMALL_BODY + 1, "")))
        assert line.startswith("HTTP/1.1 401 ")
        assert document["code"] == "not-authenticated"

    @pytest.mark.parametrize("start", ["POST /simple/", "PUT /legacy/", "POST /legacy/x", "GET /"])
    def test_elsewhere_only_small_bodies_are_taken(self, server: Server, start: str) -> None:
        head = f"{start} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {MAX_SMALL_BODY + 1}\r\n\r\n"
        assert problem(exchange(server, head.encode()))[1]["code"] == "too-large"

    def test_when_the_disk_is_promised_to_others_new_bodies_wait(self, tmp_path: Path) -> None:
        with serving(tmp_path / "spool", spool_bytes=200_000) as server, connected(server) as first:
            first.sendall(upload_head(300_000) + b"x" * 250_000)
            wait_until(lambda: server.spool.used == 250_000)
            answer = exchange(server, upload_head(1000))
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 30" in answer
            assert problem(answer)[1]["code"] == "busy"
            first.sendall(b"x" * 50_000)
            assert first.recv(100).startswith(b"HTTP/1.1 200 ")
            wait_until(lambda: server.spool.used == 0)

    def test_a_client_that_goes_away_in_the_middle_gives_its_room_back(self, server: Server) -> None:
        with connected(server) as connection:
            connection.sendall(upload_head(300_000) + b"x" * 250_000)
            wait_until(lambda: server.spool.used == 250_000)
        wait_until(lambda: server.spool.used == 0)

    def test_large_bodies_lie_in_the_folder_given_and_leave_no_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "spool"
        with serving(folder) as server, connected(server) as connection:
            connection.sendall(upload_head(MEBIBYTE) + b"x" * 700_000)
            wait_until(lambda: server.spool.used == 700_000)
            open_files = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
            assert any(name.startswith(str(folder)) for name in open_files)
            assert list(folder.iterdir()) == []


def test_a_full_disk_is_our_fault_and_gives_its_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_arguments, **_named: FullDisk())
    with serving(tmp_path / "spool") as server:
        line, document = problem(exchange(server, upload_head(500_000) + b"x" * 200_000))
        assert line.split()[1] == "503"
        assert document["code"] == "store"
        assert "space" not in document["detail"]
        assert server.spool.used == 0
        assert exchange(server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"GET 0")


class TestFraming:
    """RFC 9112 §6: what two parsers could read differently is refused."""

    @pytest.mark.parametrize(
        "head",
        [
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /legacy/ HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
            f"POST /legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: {'9' * 5000}\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            f"POST /legacy/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{'0' * 2000}",
            "POST /legacy/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            f"POST /legacy/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{'a: b' * 3000}",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\rSet-Cookie: y\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
            "get / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\x16\x03\x01\x02\r\n\r\n",
            "GET\r\n\r\n",
        ],
    )
    def test_a_malformed_request_is_one_clear_refusal(self, server: Server, head: str) -> None:
        line, document = problem(exchange(server, head.encode("latin-1")))
        assert line.split()[1] == "400"
        assert "Set-Cookie" not in line + str(document)

    def test_a_head_that_is_too_long_is_431(self, server: Server) -> None:
        answer = exchange(server, b"GET / HTTP/1.1\r\nX: " + b"y" * (MAX_HEAD + 100))
        assert problem(answer)[1]["code"] == "headers-too-large"

    def test_what_follows_a_refused_request_is_not_answered_as_another(self, server: Server) -> None:
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        assert exchange(server, upload_head(MEBIBYTE + 1) + smuggled).count(b"HTTP/1.1 ") == 1

    def test_a_head_of_blanks_does_not_stop_the_loop(self, server: Server) -> None:
        for blanks in (b" " * 31_000, b"\t " * 15_000, b"\r\n " * 10_000):
            head = b"GET / HTTP/1.1\r\nHost: x\r\nX:" + blanks + b"y\r\n\r\n"
            assert problem(within(1, lambda head=head: exchange(server, head)))[0].split()[1] == "400"  # type: ignore[misc]  # mypy cannot type a lambda's default

    def test_empty_lines_before_a_request_are_passed_over(self, server: Server) -> None:
        with connected(server) as connection:
            connection.sendall(b"\r\n" * 500_000)
            answer = within(1, lambda: finished(connection, b"\r\nGET /a HTTP/1.0\r\n\r\n"))
        assert answer.endswith(b"GET 0")

    def test_tiny_chunks_are_refused_before_they_cost_much(self, server: Server) -> None:
        line, document = problem(exchange(server, CHUNKED_HEAD + b"1\r\nx\r\n" * 2000))
        assert line.split()[1] == "400"
        assert "too small" in document["detail"]

    def test_chunks_of_thirty_bytes_pass_however_they_are_cut(self, server: Server) -> None:
        head = CHUNKED_HEAD.replace(b"Host: x", b"Host: x\r\nConnection: close")
        wire = head + (b"1e\r\n" + b"x" * 30 + b"\r\n") * 3000 + b"0\r\n\r\n"
        with connected(server) as connection:
            for start in range(0, len(wire), 4099):
                connection.sendall(wire[start : start + 4099])
            assert everything(connection).endswith(b"POST 90000")

    def test_pipelined_requests_are_answered_in_order(self, server: Server) -> None:
        one = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert exchange(server, one * 20 + last).count(b"GET 0") == 21


class TestWhatTheAppSees:
    def test_headers_that_a_proxy_would_set_are_dropped(self, server: Server) -> None:
        head = (
            "GET /environ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"
            "X-Forwarded-Host: attacker.invalid\r\nForwarded: for=192.0.2.1\r\nConnection: close\r\n\r\n"
        )
        body = exchange(server, head.encode()).partition(b"\r\n\r\n")[2]
        environ = json.loads(body)
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["wsgi.url_scheme"] == "http"
        assert not [key for key in environ if "FORWARDED" in key]
        assert environ["SERVER_PORT"] == str(server.port)

    def test_an_application_that_breaks_shows_no_trace(self, server: Server) -> None:
        line, document = problem(exchange(server, b"GET /broken HTTP/1.0\r\n\r\n"))
        assert line.split()[1] == "500"
        assert "hunter2" not in str(document)

    def test_the_server_does_not_name_itself(self, server: Server) -> None:
        answer = exchange(server, b"GET / HTTP/1.0\r\n\r\n").lower()
        assert b"server:" not in answer
        assert b"waitress" not in answer


def within(seconds: float, act: Callable[[], bytes]) -> bytes:
    began = time.monotonic()
    result = act()
    assert time.monotonic() - began < seconds
    return result


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


class TestStartAndStop:
    def test_an_address_that_is_taken_is_one_clear_error(self, server: Server, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match=f"Cannot listen on 127.0.0.1 port {server.port}: "):
            serve(app, "127.0.0.1", server.port, max_body=1, temp_dir=tmp_path)

    @pytest.mark.parametrize("host", ["192.0.2.77", "no-such-host.invalid"])
    def test_an_address_of_another_machine_is_one_clear_error(self, host: str, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match="Cannot listen on"):
            serve(app, host, 0, max_body=1, temp_dir=tmp_path)

    @pytest.mark.parametrize("host", ["localhost", "::1"])
    def test_names_and_ipv6_addresses_can_be_listened_on(self, host: str, tmp_path: Path) -> None:
        try:
            socket.socket(socket.AF_INET6).close()
            server = serve(app, host, 0, max_body=1, temp_dir=tmp_path)
        except (OSError, OperatorError):
            assert host == "::1", "localhost must work even where there is no IPv6"
            return
        thread = threading.Thread(target=server.run)
        thread.start()
        with socket.create_connection((host, server.port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert everything(connection).endswith(b"GET 0")
        server.stop()
        thread.join(10)

    def test_a_folder_that_cannot_be_made_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(OperatorError, match="Cannot make the folder"):
            serve(app, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path / "file" / "spool")

    def test_an_answer_under_way_is_finished_when_the_server_stops(self, tmp_path: Path) -> None:
        server = serve(app, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path)
        thread = threading.Thread(target=server.run)
        thread.start()
        with connected(server) as connection:
            connection.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            time.sleep(0.3)
            server.stop()
            assert everything(connection).endswith(b"GET 0")
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()


SERVER_PROGRAM = """
import sys
from pathlib import Path
from gatehouse.web.server import serve

def app(environ, start_response):
    length = 0
    while chunk := environ["wsgi.input"].read(1 << 20):
        length += len(chunk)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(length).encode()]

server = serve(app, "127.0.0.1", 0, max_body=int(sys.argv[2]), temp_dir=Path(sys.argv[1]))
print(server.port, flush=True)
server.run()
"""


def resident(process: int) -> int:
    """The memory that a process holds, in bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A server in a process of its own, whose memory can be watched; it takes 128 MiB."""
    folder = tmp_path_factory.mktemp("apart")
    command = [sys.executable, "-W", "ignore", "-c", SERVER_PROGRAM, str(folder), str(128 * MEBIBYTE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
        process.terminate()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("mebibytes", [100, 2048])
def test_memory_stays_flat_whether_a_large_body_is_taken_or_two_gigabytes_are_refused(
    apart: tuple[int, int], mebibytes: int, *, chunked: bool
) -> None:
    port, process = apart
    memory = resident(process)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(CHUNKED_HEAD if chunked else upload_head(mebibytes * MEBIBYTE))
        piece = b"100000\r\n" + b"\0" * MEBIBYTE + b"\r\n" if chunked else b"\0" * MEBIBYTE
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(mebibytes):
                connection.sendall(piece)
            connection.sendall(b"0\r\n\r\n" if chunked else b"")
        answer = b""
        while not answer.endswith((b"}", str(100 * MEBIBYTE).encode())):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 " if mebibytes > 128 else b"HTTP/1.1 200 ")
    assert resident(process) - memory < 16 * MEBIBYTE
