"""The loops beside the web: one bad message stops no other, what fails says so, and nothing is tried for ever."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from gatehouse.core.errors import StoreError
from gatehouse.gate.bell import Bell
from gatehouse.gate.ports import Message
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.tuf.ports import MetadataStore
from gatehouse.wiring import build_publisher
from gatehouse.worker.loop import Loop
from gatehouse.worker.outbox import MAX_ATTEMPTS, OutboxLoop
from gatehouse.worker.publisher import PublisherLoop
from tests.support.crashes import Fuse, FusedStore
from tests.support.house import HandClock, House, house
from tests.support.waiting import wait_until


class Handler:
    """Finishes every message but those that it was told are bad; all of a batch or nothing."""

    def __init__(self, database: SqlDatabase, *bad: int) -> None:
        self.database = database
        self.bad = set(bad)
        self.done: list[int] = []

    def __call__(self, messages: list[Message]) -> None:
        numbers = [message.payload["number"] for message in messages]
        if self.bad.intersection(numbers):
            raise ValueError("this one cannot be done")
        with self.database.write() as transaction:
            transaction.outbox.done([message.id for message in messages])
        self.done += numbers


def filled(database: SqlDatabase, clock: HandClock, handler: Handler, *, messages: int) -> OutboxLoop:
    with database.write() as transaction:
        for number in range(messages):
            transaction.outbox.add("work", {"number": number}, at=clock.now())
    return OutboxLoop("work", database=database, clock=clock, handlers={"work": handler}, bell=Bell())


def count(database: SqlDatabase) -> tuple[int, int]:
    with database.read() as transaction:
        return transaction.outbox.count()


def test_one_bad_message_stops_no_other_and_is_tried_again_later(sqlite_database: SqlDatabase) -> None:
    clock, handler = HandClock(), Handler(sqlite_database, 2)
    loop = filled(sqlite_database, clock, handler, messages=5)
    loop.round()
    assert sorted(handler.done) == [0, 1, 3, 4]
    assert count(sqlite_database) == (1, 0)
    assert loop.work_once() == 0, "not at once"
    handler.bad.clear()
    clock.advance(timedelta(seconds=2))
    loop.round()
    assert sorted(handler.done) == [0, 1, 2, 3, 4]
    assert count(sqlite_database) == (0, 0)


def test_what_fails_for_good_stays_as_a_dead_letter(sqlite_database: SqlDatabase) -> None:
    clock, handler = HandClock(), Handler(sqlite_database, 0)
    loop = filled(sqlite_database, clock, handler, messages=1)
    for attempt in range(MAX_ATTEMPTS):
        assert count(sqlite_database) == (1, 0), f"before attempt {attempt + 1}"
        loop.round()
        clock.advance(timedelta(minutes=10))
    assert count(sqlite_database) == (0, 1)
    handler.bad.clear()
    loop.round()
    assert handler.done == [], "dead letters are not taken up by themselves"


class Stumbling(Loop):
    """Fails until it is told to go well."""

    def __init__(self) -> None:
        super().__init__("stumbling", Bell())
        self.well = False
        self.rounds = 0

    def round(self) -> float:
        self.rounds += 1
        if not self.well:
            raise StoreError("hunter2 is the password")
        return 0.01


def test_a_loop_survives_what_its_round_raises_and_says_so_without_the_cause() -> None:
    loop = Stumbling()
    loop.start()
    try:
        wait_until(lambda: loop.fault is not None)
        assert loop.fault == "The stumbling loop failed 1 times in a row; the log says why."
        loop.well = True
        wait_until(lambda: loop.fault is None)
    finally:
        loop.stop()
    rounds = loop.rounds
    assert rounds >= 2
    assert loop.stopping


def test_a_publisher_that_lost_its_lease_stands_back_until_it_is_free(tmp_path: Path) -> None:
    with house(tmp_path / "home") as home:
        home.publisher.stop()
        other = build_publisher(home.gatehouse)
        loop = PublisherLoop(
            publisher=home.publisher, clock=home.gatehouse.clock, delay=timedelta(0), bell=Bell(), steal=True
        )
        loop.round()
        assert other.start(steal=True)
        home.wheel()
        home.screen()
        for _ in range(2):  # to lose the lease, and not to wrest it back
            loop.round()
            assert not home.publisher.at_work
            assert pending(home) == 3
        other.stop()
        loop.round()
        assert pending(home) == 0


def test_the_lease_is_kept_while_a_publication_takes_long(tmp_path: Path) -> None:
    clock, lease = HandClock(), timedelta(seconds=1)
    clock.moment = datetime.now(UTC)
    with house(tmp_path / "home", clock=clock, lease_seconds=lease) as home:
        home.publisher.stop()
        loop = PublisherLoop(publisher=home.publisher, clock=clock, delay=timedelta(0), bell=Bell(), steal=True)
        home.wheel()
        home.screen()
        slow = SlowStore(home.publisher.store)
        home.publisher.store = slow
        rival = build_publisher(home.gatehouse)
        loop.start()
        try:
            wait_until(slow.creating.is_set)
            for _ in range(3):
                clock.advance(0.6 * lease)
                wait_until(lambda: expiry(home) >= clock.moment + 0.6 * lease)
                assert not rival.start(), "half a lease ago it would have been free"
        finally:
            slow.go_on.set()
            loop.stop()
        assert pending(home) == 0
        assert rival.start(), "a clean stop gives the lease back at once"
        rival.stop()


def test_a_publisher_that_hangs_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatehouse.worker.publisher._LONGEST_SECONDS", 0.5)
    with house(tmp_path / "home", lease_seconds=timedelta(seconds=1)) as home:
        home.publisher.stop()
        loop = PublisherLoop(
            publisher=home.publisher, clock=home.gatehouse.clock, delay=timedelta(0), bell=Bell(), steal=True
        )
        home.wheel()
        home.screen()
        slow = SlowStore(home.publisher.store)
        home.publisher.store = slow
        heir = build_publisher(home.gatehouse)
        loop.start()
        try:
            wait_until(slow.creating.is_set)
            wait_until(heir.start)
            assert heir.publish() is None, "it finished what the other had committed"
            assert pending(home) == 0
        finally:
            slow.go_on.set()
            loop.stop()
        heir.stop()


class SlowStore(FusedStore):
    """A store whose disk takes its time over a publication."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store, Fuse(at=-1, after=False))
        self.creating, self.go_on = Event(), Event()

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Wait, then create."""
        self.creating.set()
        assert self.go_on.wait(60)
        super().create(files)


def pending(home: House) -> int:
    with home.gatehouse.database.read() as transaction:
        return transaction.journal.count_pending()


def expiry(home: House) -> datetime:
    lease = home.publisher._lease
    assert lease is not None
    return lease.expires_at
