"""The whole story on PostgreSQL: `migrate`, `init`, two servers that share a database, one of which publishes.

Both take uploads and serve; who publishes holds the lease; when it is killed the other takes over, and no client
meets a state that it refuses.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from gatehouse.cli.demo.client import Client, Verifier
from gatehouse.cli.demo.packages import HOSTILE_SETUP
from gatehouse.cli.demo.server import Server
from tests.support.databases import empty_postgres
from tests.support.distributions import build_sdist, build_wheel
from tests.support.traffic import Uploader, Watcher
from tests.support.waiting import wait_until

ROUNDS = 3
SEED = 20261122


@dataclass(kw_only=True)
class Pair:
    """Two servers on one database, and a client of each."""

    url: str
    home: Path
    token: str
    servers: tuple[Server, Server]

    def client(self, server: Server) -> Client:
        """An uploader that talks to this server."""
        return Client(server.url, self.token)

    def verifier(self, server: Server, folder: Path) -> Verifier:
        """python-tuf's client, started from the trusted root."""
        return Verifier(folder, server.url, (self.home / "tuf" / "metadata" / "1.root.json").read_bytes())

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def publisher(self) -> Server | None:
        """Which of the two holds the lease, if one does."""
        holders = [str(holder) for (holder,) in self.ask("SELECT holder FROM leases WHERE holder IS NOT NULL")]
        pids = {int(holder.split(":")[1]) for holder in holders}
        return next((server for server in self.servers if server.pid in pids), None)


def gatehouse(settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    command = [sys.executable, "-m", "gatehouse", *words]
    return subprocess.run(
        command, env=environment | settings, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def pair(
    postgres_server: str, postgres_admin: Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with empty_postgres(postgres_server, postgres_admin) as url:
        yield from _running(url, tmp_path_factory.mktemp("shared") / "home")


def _running(url: str, home: Path) -> Iterator[Pair]:
    settings = {
        "GATEHOUSE_HOME": str(home),
        "GATEHOUSE_DATABASE_URL": url,
        # Longer than a busy machine keeps a publisher from renewing it, and than anybody waits here.
        "GATEHOUSE_LEASE_SECONDS": "10s",
    }
    for words in (["migrate"], ["init", "--simple-bins", "2", "--files-bins", "2"]):
        done = gatehouse(settings, *words)
        assert done.returncode == 0, done.stderr
    made = gatehouse(settings, "token", "create", "--account", "alice")
    token = re.search(r"gatehouse-\S+", made.stdout)
    assert token is not None, made.stdout + made.stderr
    servers = (Server(home=home, settings=settings), Server(home=home, settings=settings))
    try:
        for server in servers:
            server.start()
        yield Pair(url=url, home=home, token=token[0], servers=servers)
    finally:
        for server in servers:
            server.stop()


def listed(client: Client, *projects: str) -> set[str]:
    pages = [client.page(project) for project in projects]
    return {file["filename"] for page in pages if page is not None for file in page["files"]}


def test_an_empty_database_is_not_taken_for_a_new_repository(new_postgres_url: str, tmp_path: Path) -> None:
    settings = {"GATEHOUSE_HOME": str(tmp_path / "home"), "GATEHOUSE_DATABASE_URL": new_postgres_url}
    refused = gatehouse(settings, "serve", "--port", "0")
    assert refused.returncode == 2
    assert "run `gatehouse init` for a new one" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_two_servers_share_a_database_and_one_of_them_publishes(pair: Pair, tmp_path: Path) -> None:
    wait_until(lambda: pair.publisher() is not None)
    publisher = pair.publisher()
    ((before,),) = pair.ask("SELECT max(id) FROM publications")
    files: dict[str, bytes] = {}
    for number, server in enumerate(pair.servers * 3):
        filename, content = build_wheel("shared", f"1.{number}")
        assert pair.client(server).upload(filename, content) == (200, "OK")
        files[filename] = content
    hostile = build_sdist("shared", "2.0", files={"setup.py": HOSTILE_SETUP})
    assert pair.client(pair.servers[0]).upload(*hostile) == (200, "OK")
    paths = {f"files/shared/{name}": content for name, content in files.items()}
    for number, server in enumerate(pair.servers):
        client = pair.client(server)
        wait_until(lambda client=client: listed(client, "shared") == files.keys())  # type: ignore[misc] # as of now
        wait_until(lambda client=client: waits_on_the_desk(client) == 1)  # type: ignore[misc] # as of now
        found = pair.verifier(server, tmp_path / str(number)).download([*paths, f"files/shared/{hostile[0]}"])
        assert found == paths | {f"files/shared/{hostile[0]}": None}
        assert json.loads(client.get("/readyz")) == {"ready": True, "reasons": []}
    assert pair.publisher() is publisher
    epochs = {epoch for number, epoch in pair.ask("SELECT id, epoch FROM publications") if number > before}
    assert len(epochs) == 1, "one publisher has one epoch"

    other = next(server for server in pair.servers if server is not publisher)
    assert publisher is not None
    publisher.kill()
    filename, content = build_wheel("shared", "3.0")
    assert pair.client(other).upload(filename, content) == (200, "OK")
    wait_until(lambda: filename in listed(pair.client(other), "shared"))
    # The caches of both clients: what they have seen under the first publisher must bind the second.
    for number in range(2):
        found = pair.verifier(other, tmp_path / str(number)).download([f"files/shared/{filename}"])
        assert found == {f"files/shared/{filename}": content}
    publisher.start()
    assert pair.publisher() is other, "who comes back waits its turn"


def waits_on_the_desk(client: Client) -> float:
    """How many files wait at the hold tier, as `/metrics` has it."""
    said = re.search(
        r'^gatehouse_desk_waiting\{tier="hold"\} (\S+)$', client.get("/metrics").decode(), re.MULTILINE
    )
    assert said is not None
    return float(said[1])


def test_killing_either_server_at_any_moment_loses_nothing(pair: Pair, tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 -- a repeatable story
    acknowledged: dict[str, tuple[str, bytes]] = {}
    faults: list[str] = []
    for number in range(ROUNDS):
        projects = ("alpha", "beta")
        uploaders = [
            Uploader(pair.client(server), project, number * 1000)
            for server, project in zip(pair.servers, projects, strict=True)
        ]
        killed = pair.servers[number % 2]
        watcher = Watcher(pair.verifier(pair.servers[0], tmp_path / "resting"), "simple/alpha/index.html")
        threads: list[Uploader | Watcher] = [*uploaders, watcher]
        for thread in threads:
            thread.start()
        wait_until(lambda: any(uploader.acknowledged for uploader in uploaders))  # noqa: B023 -- of this round
        time.sleep(chance.uniform(0.0, 1.0))
        killed.kill()
        for thread in threads:
            thread.stopping.set()
            thread.join(60)
        faults += watcher.faults
        for uploader in uploaders:
            acknowledged |= {name: (uploader.project, data) for name, data in uploader.acknowledged.items()}
        killed.start()
    assert faults == []
    assert len(acknowledged) >= ROUNDS, "the story must have had uploads in it"

    # What a killed server had claimed comes back when the claim ends; we do not wait minutes for it.
    with psycopg.connect(pair.url) as connection:
        connection.execute("UPDATE outbox SET leased_until = NULL")
    paths = {f"files/{project}/{name}": data for name, (project, data) in acknowledged.items()}
    for server in pair.servers:
        client = pair.client(server)
        wait_until(lambda client=client: acknowledged.keys() <= listed(client, "alpha", "beta"))  # type: ignore[misc]
    for folder in ("resting", "fresh"):
        assert pair.verifier(pair.servers[0], tmp_path / folder).download(list(paths)) == paths
    wait_until(lambda: pair.ask("SELECT count(*) FROM outbox") == [(0,)])
    assert pair.ask("SELECT count(*) - count(DISTINCT filename) FROM files") == [(0,)]
    twice = "SELECT path FROM journal WHERE cause = 'published' GROUP BY path HAVING count(*) > 1"
    assert pair.ask(twice) == []
    assert pair.ask("SELECT count(*) FROM journal WHERE publication_id IS NULL") == [(0,)]
