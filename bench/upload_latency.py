"""How long an upload takes to become verifiable: t3 - t0 for single uploads on an idle embedded system.

t0 is when the body has been received, t1 when its verdicts are stored, t2 when its target changes are in the
journal, t3 when the timestamp has moved (docs/reference/contract.md). All four are the server's own record.
Beside them stand the client's view (from sending to the first page that lists the file), the start-up time, the
memory at rest, and, as the physical limit of the same disk in the same run, the time of one fsync.

    .venv/bin/python -m bench.upload_latency [FOLDER]

With a folder, the packages are the wheels and sdists in it that are smaller than 1 MB, each once; without one,
they are 50 versions of a tiny wheel.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.cli.demo import packages
from gatehouse.cli.demo.client import Client
from gatehouse.cli.demo.server import Server

UPLOADS = 50
MAX_BYTES = 1_000_000
_STATEMENT = """
SELECT files.received_at AS t0, screenings.finished_at AS t1, journal.at AS t2, publications.published_at AS t3
FROM files
JOIN subjects ON subjects.kind = 'file' AND subjects.filename = files.filename
JOIN screenings ON screenings.subject_id = subjects.id
JOIN journal ON journal.path LIKE 'files/%/' || files.filename AND journal.cause = 'published'
JOIN publications ON publications.id = journal.publication_id
ORDER BY files.id
"""


def main() -> None:
    """Run it and print a table."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
        server = Server(home=Path(folder) / "home")
        first = _timed(server.start)
        server.stop()
        again = _timed(server.start)
        try:
            memory = _memory(server)
            archives = _archives(sys.argv[1:])
            seen = [_upload(Client(server.url, server.token), *archive) for archive in archives]
        finally:
            server.stop()
        with sqlite3.connect(server.home / "gatehouse.db") as database:
            rows = database.execute(_STATEMENT).fetchall()
        database.close()
        fsync = _fsync(Path(folder))
    assert len(rows) == len(archives), f"{len(rows)} of {len(archives)} uploads were published"
    sizes = [len(content) for _, content in archives]
    print(f"{len(archives)} uploads of {min(sizes)} to {max(sizes)} bytes, one after another, embedded, SQLite")
    for name, start, end in (("t1 - t0", 0, 1), ("t2 - t1", 1, 2), ("t3 - t2", 2, 3), ("t3 - t0", 0, 3)):
        _print(name, [(row[end] - row[start]) / 1000 for row in rows])
    _print("client", [seconds * 1000 for seconds in seen])
    _print("one fsync", [seconds * 1000 for seconds in fsync])
    print(f"start-up: {first:.2f} s with the development ceremony, {again:.2f} s after")
    print(f"memory at rest: {memory[0]:.0f} MB the server, {memory[1]:.0f} MB the sandbox's zygote")


def _archives(folders: Sequence[str]) -> list[tuple[str, bytes]]:
    if not folders:
        return [packages.wheel(f"1.{number}") for number in range(UPLOADS)]
    paths = sorted(path for path in Path(folders[0]).iterdir() if path.name.endswith((".whl", ".tar.gz")))
    return [(path.name, path.read_bytes()) for path in paths if path.stat().st_size < MAX_BYTES]


def _upload(client: Client, filename: str, content: bytes) -> float:
    began = time.monotonic()
    status, reason = client.upload(filename, content)
    assert status == 200, reason
    project = parse_distribution_filename(filename).project
    while filename not in _listed(client, project):
        assert time.monotonic() - began < 60, f"{filename} was not published"
        time.sleep(0.005)
    seconds = time.monotonic() - began
    time.sleep(0.1)  # idle between uploads: this measures latency, not a burst
    return seconds


def _listed(client: Client, project: str) -> set[str]:
    page = client.page(project)
    return set() if page is None else {file["filename"] for file in page["files"]}


def _timed(action: object) -> float:
    began = time.monotonic()
    assert callable(action)
    action()
    return time.monotonic() - began


def _memory(server: Server) -> tuple[float, float]:
    """Resident memory of the server and of its children, in MB, a moment after the start."""
    time.sleep(1.0)
    own = _resident(server.pid)
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
    return own, sum(_resident(int(child)) for child in children)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _fsync(folder: Path) -> list[float]:
    seconds = []
    with (folder / "probe").open("wb") as file:
        for _ in range(UPLOADS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            seconds.append(time.monotonic() - began)
    return seconds


def _print(name: str, milliseconds: Sequence[float]) -> None:
    cuts = statistics.quantiles(milliseconds, n=20, method="inclusive")
    print(f"{name:<10} median {statistics.median(milliseconds):7.1f} ms   p95 {cuts[18]:7.1f} ms")


if __name__ == "__main__":
    main()
