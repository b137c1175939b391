"""SIGKILL at random moments, again and again, while uploads come in.

Nothing acknowledged is lost, nothing is doubled, and no client ever meets a state that it refuses.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from pathlib import Path

import urllib3

from gatehouse.cli.demo.client import REFUSED, Client, Verifier
from gatehouse.cli.demo.server import Server
from tests.support.distributions import build_wheel
from tests.support.waiting import wait_until

ROUNDS = 8
SEED = 20261121


class Uploader(threading.Thread):
    """Uploads one file after another until told to stop; remembers what was acknowledged."""

    def __init__(self, server: Server, project: str, first: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(server.url, server.token)
        self.project = project
        self.number = first
        self.stopping = threading.Event()
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        while not self.stopping.is_set():
            filename, content = build_wheel(self.project, f"1.{self.number}")
            self.number += 1
            try:
                status, _ = self.client.upload(filename, content)
            except urllib3.exceptions.HTTPError:
                return  # the server was killed before it answered: nothing was promised
            assert status == 200
            self.acknowledged[filename] = content


class Watcher(threading.Thread):
    """A client that keeps what it has seen and refreshes all the time; what it refuses is a fault of ours."""

    def __init__(self, verifier: Verifier, path: str) -> None:
        super().__init__(daemon=True)
        self.verifier = verifier
        self.path = path
        self.stopping = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.verifier.download([self.path])
            except (*REFUSED, urllib3.exceptions.HTTPError) as error:
                if not _is_connection_trouble(error):
                    self.faults.append(repr(error))


def _is_connection_trouble(error: BaseException | None) -> bool:
    """Whether the server was simply not there: it was killed a moment ago."""
    while error is not None:
        if isinstance(error, (urllib3.exceptions.HTTPError, ConnectionError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def test_killing_the_server_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 -- a repeatable story
    server = Server(home=tmp_path / "home")
    acknowledged: dict[str, tuple[str, bytes]] = {}
    faults: list[str] = []
    for number in range(ROUNDS):
        server.start()
        root = (server.home / "tuf" / "metadata" / "1.root.json").read_bytes()
        projects = ("alpha", "beta")
        uploaders = [Uploader(server, project, number * 1000) for project in projects]
        watcher = Watcher(Verifier(tmp_path / "resting", server.url, root), "simple/alpha/index.html")
        threads: list[Uploader | Watcher] = [*uploaders, watcher]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.0, 1.2))
        server.kill()
        for thread in threads:
            thread.stopping.set()
            thread.join(30)
        faults += watcher.faults
        for uploader in uploaders:
            acknowledged |= {name: (uploader.project, data) for name, data in uploader.acknowledged.items()}
    assert faults == []
    assert len(acknowledged) > ROUNDS, "the story must have had uploads in it"

    server.start()
    try:
        client = Client(server.url, server.token)

        def listed() -> set[str]:
            pages = [client.page(project) for project in ("alpha", "beta")]
            return {file["filename"] for page in pages if page is not None for file in page["files"]}

        wait_until(lambda: acknowledged.keys() <= listed())
        paths = {f"files/{project}/{name}": data for name, (project, data) in acknowledged.items()}
        for folder in ("resting", "fresh"):
            found = Verifier(tmp_path / folder, server.url, root).download(list(paths))
            assert found == paths
    finally:
        server.stop()
    _prove_nothing_doubled(server.home / "gatehouse.db")


def _prove_nothing_doubled(path: Path) -> None:
    with sqlite3.connect(path) as database:
        files, distinct = database.execute("SELECT count(*), count(DISTINCT filename) FROM files").fetchone()
        assert files == distinct
        published = "SELECT path FROM journal WHERE cause = 'published' GROUP BY path HAVING count(*) > 1"
        assert database.execute(published).fetchall() == []
        assert database.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM journal WHERE publication_id IS NULL").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM publications WHERE published_at IS NULL").fetchone() == (0,)
    database.close()
