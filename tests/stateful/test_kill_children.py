"""SIGKILL for the children that screen, and for the zygote, while uploads come in.

Every file is screened to an end, a killed run is stored as INCOMPLETE, and nothing unscreened is ever on a page.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from gatehouse.cli.demo.client import Client
from gatehouse.cli.demo.server import Server
from tests.support.distributions import build_wheel
from tests.support.waiting import wait_until

KILLS = 8
MOST_FILES = 150
SEED = 7
#: Enough source that a child is still reading when it is killed.
SOURCE = "".join(f"def f{n}(a, b={n}):\n    return [a + b * {n}, str(a), f'{{b}}']\n" for n in range(4000))


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        # By thread: whichever thread started the zygote anew is its parent.
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


class Killer(threading.Thread):
    """Kills a child of the zygote, or now and then the zygote, until told to stop."""

    def __init__(self, server: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.stopping = threading.Event()
        self.killed = 0

    def run(self) -> None:
        chance = random.Random(SEED)  # noqa: S311 -- a repeatable story
        while not self.stopping.wait(chance.uniform(0.02, 0.15)):
            zygotes = children(self.server)
            victims = [child for zygote in zygotes for child in children(zygote)]
            if chance.random() < 0.2:
                victims = zygotes
            if victims:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    self.killed += 1


def test_killing_the_children_loses_nothing_and_lets_nothing_through(tmp_path: Path) -> None:
    server = Server(home=tmp_path / "home")
    server.start()
    try:
        client = Client(server.url, server.token)
        killer = Killer(server.pid)
        killer.start()
        uploaded: set[str] = set()
        while killer.killed < KILLS and len(uploaded) < MOST_FILES:
            number = len(uploaded)
            filename, content = build_wheel("alpha", f"1.{number}", files={"alpha.py": SOURCE})
            assert client.upload(filename, content)[0] == 200
            uploaded.add(filename)
        killer.stopping.set()
        killer.join(60)
        database = server.home / "gatehouse.db"
        wait_until(lambda: ask(database, "SELECT count(*) FROM outbox") == [(0,)], seconds=240)
        wait_until(lambda: ask(database, "SELECT count(*) FROM journal WHERE publication_id IS NULL") == [(0,)])
        wait_until(lambda: ask(database, "SELECT count(*) FROM publications WHERE published_at IS NULL") == [(0,)])
        states = dict(ask(database, "SELECT filename, state FROM files"))
        page = client.page("alpha")
    finally:
        server.stop()

    assert states.keys() == uploaded
    assert set(states.values()) <= {"published", "held"}
    listed = set() if page is None else {file["filename"] for file in page["files"]}
    assert listed == {filename for filename, state in states.items() if state == "published"}
    runs = ask(
        database,
        "SELECT subjects.filename, group_concat(screenings.outcome) FROM screenings "
        "JOIN subjects ON subjects.id = screenings.subject_id WHERE subjects.kind = 'file' GROUP BY 1",
    )
    outcomes = {filename: said.split(",") for filename, said in runs}
    assert outcomes.keys() == uploaded
    for filename, said in outcomes.items():
        # One run to the end and not a second; or three that were killed, and then held and never clean.
        assert said.count("clean") == (1 if states[filename] == "published" else 0), (filename, said)
        assert states[filename] == "published" or said == ["incomplete"] * 3
    assert sum(said.count("incomplete") for said in outcomes.values()) >= 1


def ask(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()
