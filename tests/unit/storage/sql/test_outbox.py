"""The outbox, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select

from gatehouse.gate.ports import Message
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.storage.sql.models import OutboxRow

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)


def add(database: SqlDatabase, *topics: str, at: datetime = NOW) -> None:
    with database.write() as tx:
        for number, topic in enumerate(topics):
            tx.outbox.add(topic, {"number": number}, at=at)


def claim(database: SqlDatabase, *topics: str, after: float = 0, limit: int = 100) -> list[Message]:
    with database.write() as tx:
        now = NOW + timedelta(seconds=after)
        return tx.outbox.claim(topics or ("screen",), limit=limit, now=now, lease=LEASE)


def count(database: SqlDatabase) -> tuple[int, int]:
    with database.read() as tx:
        return tx.outbox.count()


def test_the_oldest_of_the_wanted_topics_are_claimed(database: SqlDatabase) -> None:
    add(database, "screen", "purge", "screen", "screen")
    first, second = claim(database, limit=2)
    assert first == Message(id=first.id, topic="screen", payload={"number": 0}, created_at=NOW, attempts=1)
    assert second.payload == {"number": 2}
    assert [message.payload for message in claim(database, "screen", "purge")] == [{"number": 1}, {"number": 3}]
    assert claim(database, "nothing") == []
    with database.write() as tx:
        assert tx.outbox.claim((), limit=9, now=NOW, lease=LEASE) == []


def test_a_message_is_not_due_before_its_time(database: SqlDatabase) -> None:
    add(database, "screen", at=NOW + timedelta(seconds=1))
    assert claim(database, after=0.9) == []
    assert len(claim(database, after=1)) == 1


def test_what_is_tried_again_does_not_go_before_what_came_since(database: SqlDatabase) -> None:
    add(database, "screen")
    (slow,) = claim(database)
    add(database, "screen", at=NOW + timedelta(seconds=1))
    with database.write() as tx:
        tx.outbox.fail(slow.id, "it took too long", retry_at=NOW + timedelta(seconds=2))
    (first,) = claim(database, after=3, limit=1)
    (second,) = claim(database, after=3, limit=1)
    assert (second.id, second.attempts) == (slow.id, 2)
    assert first.attempts == 1


def test_a_claim_that_ends_comes_back_and_is_counted(database: SqlDatabase) -> None:
    add(database, "screen")
    assert [message.attempts for message in claim(database)] == [1]
    assert claim(database, after=59.9) == []
    assert [message.attempts for message in claim(database, after=60)] == [2]


def test_what_is_done_is_gone(database: SqlDatabase) -> None:
    add(database, *["screen"] * 1_100)
    ids = [message.id for message in claim(database, limit=2_000)]
    with database.write() as tx:
        tx.outbox.done([])
        tx.outbox.done(ids[1:])
        tx.outbox.done(ids[1:])
    assert count(database) == (1, 0)
    assert [message.id for message in claim(database, after=60)] == ids[:1]


def test_a_number_is_not_given_again(database: SqlDatabase) -> None:
    """Or a worker that comes late would finish another's message."""
    add(database, "screen")
    (first,) = claim(database)
    with database.write() as tx:
        tx.outbox.done([first.id])
    add(database, "screen")
    (second,) = claim(database)
    assert second.id > first.id


def test_a_failure_is_tried_again_when_it_is_due(database: SqlDatabase) -> None:
    add(database, "screen")
    (message,) = claim(database)
    with database.write() as tx:
        tx.outbox.fail(message.id, "broken", retry_at=NOW + timedelta(seconds=10))
    assert claim(database, after=9) == []
    assert [again.attempts for again in claim(database, after=10)] == [2]
    assert count(database) == (1, 0)


def test_a_failure_for_good_stays_as_a_dead_letter_with_its_error(database: SqlDatabase) -> None:
    add(database, "screen", "screen")
    message, other = claim(database)
    with database.write() as tx:
        tx.outbox.fail(message.id, "x" * 100_000 + "\x00", retry_at=None)
        tx.outbox.fail(message.id, "again", retry_at=NOW)
    assert count(database) == (1, 1)
    assert [again.id for again in claim(database, after=3_600)] == [other.id]
    with database.engine.connect() as connection:
        row = connection.execute(
            select(OutboxRow.last_error, OutboxRow.dead_at).where(OutboxRow.dead_at.is_not(None))
        ).one()
    assert row.last_error == "x" * 4_000
    assert row.dead_at == NOW + LEASE


def test_what_a_rolled_back_transaction_added_is_not_there(database: SqlDatabase) -> None:
    def fail(tx: SqlTransaction) -> None:
        tx.outbox.add("screen", {}, at=NOW)
        raise KeyError

    with pytest.raises(KeyError), database.write() as tx:
        fail(tx)
    assert claim(database) == []


def test_many_workers_never_claim_the_same(database: SqlDatabase) -> None:
    add(database, *["screen"] * 60)
    together = Barrier(6)

    def work(_: int) -> list[int]:
        together.wait()
        claimed: list[int] = []
        while batch := claim(database, limit=3):
            claimed += [message.id for message in batch]
        return claimed

    with ThreadPoolExecutor(6) as pool:
        found = [number for claimed in pool.map(work, range(6)) for number in claimed]
    assert len(found) == len(set(found)) == 60
