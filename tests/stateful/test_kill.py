"""SIGKILL at random moments, again and again, while uploads come in.

Nothing acknowledged is lost, nothing is doubled, and no client ever meets a state that it refuses.
"""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

from gatehouse.cli.demo.client import Client, Verifier
from gatehouse.cli.demo.server import Server
from tests.support.traffic import Uploader, Watcher
from tests.support.waiting import wait_until

ROUNDS = 8
SEED = 20261121


def test_killing_the_server_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 -- a repeatable story
    server = Server(home=tmp_path / "home")
    acknowledged: dict[str, tuple[str, bytes]] = {}
    faults: list[str] = []
    for number in range(ROUNDS):
        server.start()
        root = (server.home / "tuf" / "metadata" / "1.root.json").read_bytes()
        projects = ("alpha", "beta")
        client = Client(server.url, server.token)
        uploaders = [Uploader(client, project, number * 1000) for project in projects]
        watcher = Watcher(Verifier(tmp_path / "resting", server.url, root), "simple/alpha/index.html")
        threads: list[Uploader | Watcher] = [*uploaders, watcher]
        for thread in threads:
            thread.start()
        if number % 2:
            wait_until(lambda: any(uploader.acknowledged for uploader in uploaders))  # noqa: B023 -- of this round
        time.sleep(chance.uniform(0.0, 1.2))
        server.kill()
        for thread in threads:
            thread.stopping.set()
            thread.join(60)
        faults += watcher.faults
        for uploader in uploaders:
            acknowledged |= {name: (uploader.project, data) for name, data in uploader.acknowledged.items()}
    assert faults == []
    assert len(acknowledged) >= ROUNDS // 2, "the story must have had uploads in it"

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
