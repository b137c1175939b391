"""The caches are told of all that waits, in one go, and again until they have heard it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.core.errors import StoreError
from gatehouse.gate.bell import Bell
from gatehouse.gate.purge import AGAIN_AFTER, KEYS_A_MESSAGE, Purges
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.worker.beside import working
from gatehouse.worker.purging import PurgeLoop
from tests.support.house import HandClock, house
from tests.support.purged import purge_double
from tests.support.waiting import wait_until


@dataclass
class Caches:
    """Remember what they were told, and fail when told to."""

    told: list[list[str]] = field(default_factory=list)
    away: bool = False

    def purge(self, keys: Sequence[str]) -> None:
        if self.away:
            raise StoreError("The cache is away.")
        self.told.append(list(keys))


@dataclass
class Desk:
    """A loop that a test turns by hand."""

    database: SqlDatabase
    clock: HandClock = field(default_factory=HandClock)
    caches: Caches = field(default_factory=Caches)
    counted: list[str] = field(default_factory=list)

    def announce(self, *keys: str) -> None:
        with self.database.write() as transaction:
            Purges(enabled=True).announce(transaction, keys, at=self.clock.now())

    def turn(self) -> list[list[str]]:
        """What the caches are told now."""
        before = len(self.caches.told)
        loop = PurgeLoop(
            database=self.database,
            clock=self.clock,
            purger=self.caches,
            bell=Bell(),
            count=self.counted.append,
        )
        while loop.work_once():
            pass
        return self.caches.told[before:]

    def waiting(self) -> tuple[int, int]:
        with self.database.read() as transaction:
            return transaction.outbox.count()


@pytest.fixture
def desk(sqlite_database: SqlDatabase) -> Desk:
    return Desk(database=sqlite_database)


def test_a_burst_is_one_purge_of_each_key_once(desk: Desk) -> None:
    for project in ("a", "b", "a"):
        desk.announce("tuf/timestamp", f"simple/{project}")
    assert desk.turn() == [["tuf/timestamp", "simple/a", "simple/b"]]
    assert desk.turn() == []


def test_each_purge_comes_a_second_time_for_answers_that_were_under_way(desk: Desk) -> None:
    desk.announce("simple/a")
    assert desk.turn() == [["simple/a"]]
    desk.clock.advance(AGAIN_AFTER)
    assert desk.turn() == [["simple/a"]]
    assert desk.waiting() == (0, 0)


def test_what_fails_is_told_again_later_each_time_and_never_given_up(desk: Desk) -> None:
    desk.caches.away = True
    desk.announce("files/evil")
    for _ in range(50):
        desk.turn()
        desk.clock.advance(timedelta(minutes=1))
    waiting, dead = desk.waiting()
    assert (waiting, dead) == (2, 0)
    assert set(desk.counted) == {"failed"}
    desk.caches.away = False
    desk.clock.advance(timedelta(minutes=1))
    assert desk.turn() == [["files/evil"]]
    assert desk.waiting() == (0, 0)
    assert desk.counted[-1] == "done"


def test_a_cache_that_is_away_is_not_asked_without_end(desk: Desk) -> None:
    desk.caches.away = True
    desk.announce("simple/a")
    for _ in range(20):
        desk.turn()
    assert desk.counted == ["failed"]


def test_where_no_cache_stands_in_front_nothing_is_written(desk: Desk) -> None:
    with desk.database.write() as transaction:
        Purges().announce(transaction, ["simple/a"], at=desk.clock.now())
        Purges().published(transaction, [], at=desk.clock.now())
    assert desk.waiting() == (0, 0)


def test_no_message_has_more_keys_than_a_request_takes(desk: Desk) -> None:
    keys = [f"simple/p{number}" for number in range(KEYS_A_MESSAGE + 1)]
    desk.announce(*keys)
    with desk.database.write() as transaction:
        messages = transaction.outbox.claim({"purge"}, limit=100, now=desk.clock.now(), lease=timedelta(minutes=1))
    assert [len(message.payload["keys"]) for message in messages] == [KEYS_A_MESSAGE, 1]


def test_a_cache_that_is_away_makes_no_fault_of_the_server(tmp_path: Path) -> None:
    with purge_double() as double:
        double.status = 503
        with house(tmp_path / "home", purge_kind="varnish", purge_url=double.url) as home:
            home.publisher.stop()
            with working(home.gatehouse, alone=True):
                with home.gatehouse.database.write() as transaction:
                    home.gatehouse.purges.announce(transaction, ["tuf/root"], at=home.gatehouse.clock.now())
                wait_until(lambda: bool(double.asked))
                assert home.gatehouse.health.ready() == []
                double.status = 200
                told = len(double.asked)
                wait_until(lambda: any("tuf/root" in keys for keys in double.keys("xkey")[told:]))
