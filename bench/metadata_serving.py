"""How many times a second a bin and a snapshot are served, and what a request costs the server, by coding.

A server in a process of its own (waitress, its usual threads), four connections that ask without pause from
another, over loopback. `python -m bench.metadata_serving [SECONDS]`; each line is one coding of one file.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.initialise import initialise
from gatehouse.settings import Settings
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.tuf.bins import BinLayout

_CONNECTIONS = 4
_SERVER = """
import sys
from pathlib import Path
from gatehouse.settings import Settings
from gatehouse.web.app import make_app
from gatehouse.web.server import serve
from gatehouse.wiring import build
home = Path(sys.argv[1])
server = serve(make_app(build(Settings(home=home))), "127.0.0.1", 0, max_body=2**20, temp_dir=home / "spool")
print(server.port, flush=True)
server.run()
"""


def main() -> None:
    """Measure, and print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home)
        initialise(settings, BinLayout(simple_bits=1, files_bits=1))
        files = {"9000.files-bin-0.json": _bin(), "9000.snapshot.json": _snapshot()}
        FolderMetadataStore(settings.metadata_folder).create(files.items())
        print(f"{'file':<24}{'coding':<10}{'bytes':>9}{'first ms':>10}{'requests/s':>12}{'CPU ms each':>13}")
        for name, data in files.items():
            for coding in ("identity", "gzip", "br"):
                # A new process, so that the first request finds nothing in memory.
                with _server(home) as (process, port):
                    first, size = _first(port, name, coding)
                    rate, cpu = _measure(process, port, name, coding, seconds)
                assert coding != "identity" or size == len(data)
                print(f"{name:<24}{coding:<10}{size:>9}{first:>10.1f}{rate:>12.0f}{cpu:>13.3f}")


def _bin() -> bytes:
    chance = random.Random(1)  # noqa: S311 -- the point is that it repeats
    targets = {}
    for _ in range(1110):
        project = f"{chance.choice(_WORDS)}-{chance.choice(_WORDS)}-{chance.randrange(10**6)}"
        version = f"{chance.randrange(9)}.{chance.randrange(30)}.{chance.randrange(30)}"
        path = f"files/{project}/{project.replace('-', '_')}-{version}-cp311-cp311-manylinux_2_17_x86_64.whl"
        digest = chance.randbytes(32).hex()
        targets[path] = {"hashes": {"sha256": digest}, "length": chance.randrange(10**3, 10**8)}
    return _signed({"_type": "targets", "targets": targets, "version": 9000})


def _snapshot() -> bytes:
    chance = random.Random(2)  # noqa: S311 -- the point is that it repeats
    names = [f"files-bin-{index:04x}" for index in range(16384)] + [
        f"simple-bin-{index:04x}" for index in range(8192)
    ]
    return _signed(
        {"_type": "snapshot", "meta": {f"{n}.json": {"version": chance.randrange(1, 900)} for n in names}}
    )


def _signed(document: object) -> bytes:
    signed = {"signatures": [{"keyid": "a" * 64, "sig": "b" * 128}], "signed": document}
    return json.dumps(signed, separators=(",", ":"), sort_keys=True).encode()


_WORDS = ("data", "fast", "async", "cloud", "graph", "django", "flask", "tools", "utils", "client", "api", "ml")


@contextmanager
def _server(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", _SERVER, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.terminate()


def _first(port: int, name: str, coding: str) -> tuple[float, int]:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    size = _ask(connection, name, coding)
    connection.close()
    return (time.perf_counter() - began) * 1e3, size


def _ask(connection: http.client.HTTPConnection, name: str, coding: str) -> int:
    connection.request("GET", f"/tuf/metadata/{name}", headers={"Accept-Encoding": coding})
    response = connection.getresponse()
    assert response.status == http.HTTPStatus.OK
    assert response.headers.get("Content-Encoding", "identity") == coding
    return len(response.read())


def _measure(
    process: subprocess.Popen[str], port: int, name: str, coding: str, seconds: float
) -> tuple[float, float]:
    """Requests a second, and milliseconds of the server's CPU for each."""
    counts = [0] * _CONNECTIONS
    end = time.monotonic() + seconds

    def ask_on(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.monotonic() < end:
            _ask(connection, name, coding)
            counts[number] += 1
        connection.close()

    before, began = _cpu(process), time.monotonic()
    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began), (_cpu(process) - before) * 1e3 / sum(counts)


def _cpu(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
