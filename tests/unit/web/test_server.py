"""The server against real sockets: limits while bytes arrive, framing, starting and stopping, memory."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.web.channel import Channel
from gatehouse.web.reception import MAX_HEAD, MAX_SMALL_BODY, RequestParser
from gatehouse.web.server import Server, serve
from tests.support.sockets import (
    AUTH,
    CHUNKED_HEAD,
    MEBIBYTE,
    PATIENCE,
    Work,
    app,
    connected,
    everything,
    exchange,
    finished,
    problem,
    serving,
    upload_head,
)
from tests.support.waiting import wait_until


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

    def test_a_head_of_blanks_is_refused_before_it_stops_the_loop(self, server: Server) -> None:
        for blanks in (b" " * 31_000, b"\t " * 15_000, b"\r\n " * 10_000):
            head = b"GET / HTTP/1.1\r\nHost: x\r\nX:" + blanks + b"y\r\n\r\n"
            assert problem(exchange(server, head))[0].split()[1] == "400"

    def test_empty_lines_before_a_request_are_passed_over_all_at_once(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[RequestParser] = []

        class Noted(RequestParser):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                made.append(self)

        monkeypatch.setattr(Channel, "parser_class", Noted)
        with connected(server) as connection:
            connection.sendall(b"\r\n" * 500_000)
            answer = finished(connection, b"\r\nGET /a HTTP/1.0\r\n\r\n")
        assert answer.endswith(b"GET 0")
        assert len(made) == 1

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
        with socket.create_connection((host, server.port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert everything(connection).endswith(b"GET 0")
        server.stop()
        thread.join(PATIENCE)

    def test_a_folder_that_cannot_be_made_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(OperatorError, match="Cannot make the folder"):
            serve(app, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path / "file" / "spool")

    def test_an_answer_under_way_is_finished_when_the_server_stops(self, tmp_path: Path) -> None:
        work = Work()
        server = serve(work, "127.0.0.1", 0, max_body=1, temp_dir=tmp_path)
        thread = threading.Thread(target=server.run)
        thread.start()
        with connected(server) as connection:
            connection.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            assert work.begun.wait(PATIENCE)
            server.stop()
            # It takes no new connection any more, and waits for the one that it has.
            wait_until(lambda: not server._listeners[0].accepting)
            assert thread.is_alive()
            work.go_on.set()
            assert everything(connection).endswith(b"GET 0")
        thread.join(PATIENCE)
        assert not thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE).close()


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
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
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
