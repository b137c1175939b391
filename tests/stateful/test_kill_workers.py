"""SIGKILL for workers on PostgreSQL and a broker that restarts empty, while uploads come in.

Every file gets exactly one settled screening, none is lost, and nothing unscreened is ever on a page.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gatehouse.cli.demo.client import Client
from gatehouse.cli.demo.server import Server
from gatehouse.initialise import initialise
from gatehouse.settings import load
from gatehouse.storage.sql import migrate
from gatehouse.tuf.bins import BinLayout
from gatehouse.wiring import build
from tests.support.distributions import build_wheel
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

WORKERS = 3
FILES = 24
KILLS = 6
SEED = 20261122
#: Enough source that workers are in the middle of it when they are killed.
SOURCE = "".join(f"def f{n}(a, b={n}):\n    return [a + b * {n}, str(a), f'{{b}}']\n" for n in range(600))


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")} | settings


@dataclass(kw_only=True)
class Workers:
    """Worker processes, as an operator's supervisor would keep them."""

    settings: dict[str, str]
    log: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gatehouse", "worker", "--slots", "1"],
                env=environment(self.settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.processes.append(process)

    def wait(self) -> None:
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "Screens 1 files at once.\n", self.log.read_text()

    def kill(self, number: int) -> None:
        victim = self.processes.pop(number)
        victim.kill()
        self._reap(victim)

    def stop(self) -> list[int]:
        """End them all politely; their exit codes."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        codes = [self._reap(process) for process in self.processes]
        self.processes.clear()
        return codes

    @staticmethod
    def _reap(process: subprocess.Popen[str]) -> int:
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        return code


@dataclass(kw_only=True)
class Farm:
    """A server, workers, and what they share."""

    server: Server
    workers: Workers
    broker: RedisServer | None
    url: str
    token: str

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def settle(self) -> None:
        """Wait until nothing is left to do."""
        wait_until(lambda: self.ask("SELECT count(*) FROM outbox") == [(0,)], seconds=240)
        wait_until(lambda: self.ask("SELECT count(*) FROM journal WHERE publication_id IS NULL") == [(0,)])
        wait_until(lambda: self.ask("SELECT count(*) FROM publications WHERE published_at IS NULL") == [(0,)])


@contextmanager
def farm(url: str, home: Path, *, broker: RedisServer | None, count: int = WORKERS) -> Iterator[Farm]:
    settings = {
        "GATEHOUSE_HOME": str(home),
        "GATEHOUSE_DATABASE_URL": url,
        "GATEHOUSE_SCREENING_SLOTS": "0",
        "GATEHOUSE_BACKFILL_SLOTS": "0",
        # So that what a killed worker had is taken up again within the test.
        "GATEHOUSE_SCREENING_SECONDS": "10s",
    }
    if broker is not None:
        settings["GATEHOUSE_BROKER_URL"] = broker.url
    chosen = load(settings).settings
    migrate.upgrade(chosen.database)
    initialise(chosen, BinLayout(simple_bits=1, files_bits=1))
    parts = build(chosen)
    token = parts.tokens.create("alice")
    parts.close()
    server = Server(home=home, settings=settings)
    workers = Workers(settings=settings, log=home.parent / "workers.log")
    try:
        for _ in range(count):
            workers.start()
        server.start()
        workers.wait()
        yield Farm(server=server, workers=workers, broker=broker, url=url, token=token)
    finally:
        codes = workers.stop()
        server.stop()
    assert codes == [0] * len(codes), "who is told to stop stops well"


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


def require_each_settled_once(farm: Farm, uploaded: set[str]) -> None:
    states = dict(farm.ask("SELECT filename, state FROM files"))
    assert states.keys() == uploaded
    assert set(states.values()) <= {"published", "held"}
    page = Client(farm.server.url, farm.token).page("alpha")
    listed = set() if page is None else {file["filename"] for file in page["files"]}
    assert listed == {filename for filename, state in states.items() if state == "published"}
    rows = farm.ask(
        "SELECT subjects.filename, array_agg(screenings.outcome ORDER BY screenings.id) FROM screenings "
        "JOIN subjects ON subjects.id = screenings.subject_id "
        "WHERE subjects.kind = 'file' AND NOT screenings.shadow GROUP BY 1"
    )
    outcomes = dict(rows)
    assert outcomes.keys() == uploaded
    for filename, said in outcomes.items():
        # One that settled it; before it, at most attempts that came to nothing.
        assert said[:-1] == ["incomplete"] * (len(said) - 1), (filename, said)
        assert (said[-1] == "clean") == (states[filename] == "published"), (filename, said)
    # Who is killed may cost a file its attempts, but hardly ever all of them.
    assert len(listed) > len(uploaded) // 2, outcomes


def test_killing_workers_and_the_broker_loses_nothing_and_screens_nothing_twice(
    new_postgres_url: str, tmp_path: Path, broker: RedisServer
) -> None:
    chance = random.Random(SEED)  # noqa: S311 -- a repeatable story
    with farm(new_postgres_url, tmp_path / "home", broker=broker) as running:
        client = Client(running.server.url, running.token)
        uploaded: set[str] = set()
        kills = 0
        for number in range(FILES):
            filename, content = build_wheel("alpha", f"1.{number}", files={"alpha.py": SOURCE})
            assert client.upload(filename, content) == (200, "OK")
            uploaded.add(filename)
            if number % (FILES // KILLS) == 3 and kills < KILLS:
                kills += 1
                if kills % 3 == 2:
                    broker.kill()
                    time.sleep(chance.uniform(0.1, 0.5))
                    broker.start()
                else:
                    running.workers.kill(chance.randrange(WORKERS))
                    running.workers.start()
        running.settle()
        require_each_settled_once(running, uploaded)
        assert kills == KILLS


def test_without_a_broker_workers_look_at_the_database_themselves(new_postgres_url: str, tmp_path: Path) -> None:
    with farm(new_postgres_url, tmp_path / "home", broker=None, count=2) as running:
        client = Client(running.server.url, running.token)
        uploaded: set[str] = set()
        for number in range(4):
            filename, content = build_wheel("alpha", f"1.{number}")
            assert client.upload(filename, content) == (200, "OK")
            uploaded.add(filename)
        running.settle()
        require_each_settled_once(running, uploaded)
