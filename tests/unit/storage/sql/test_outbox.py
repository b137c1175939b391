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


def add_for(database: SqlDatabase, lane: str, *numbers: int) -> None:
    with database.write() as tx:
        for number in numbers:
            tx.outbox.add("screen", {"number": number}, at=NOW, lane=lane)


def claim_numbers(database: SqlDatabase, count: int) -> list[int]:
    return [claim(database, limit=1)[0].payload["number"] for _ in range(count)]


def test_a_flood_in_one_lane_delays_no_other_for_long(database: SqlDatabase) -> None:
    add_for(database, "mallory", *range(100))
    assert claim_numbers(database, 3) == [0, 1, 2]
    add_for(database, "alice", 1000, 1001)
    add_for(database, "bob", 2000)
    assert claim_numbers(database, 5) == [1000, 2000, 1001, 3, 4]


def test_lanes_that_bring_one_at_a_time_starve_no_flood(database: SqlDatabase) -> None:
    add_for(database, "flood", *range(20))
    found = []
    for number in range(60):
        add_for(database, f"newcomer {number}", 1000 + number)
        (message,) = claim(database, limit=1)
        found.append(message.payload["number"])
        with database.write() as tx:
            tx.outbox.done([message.id])
    assert len([number for number in found if number < 1000]) >= 10


def test_what_is_tried_again_goes_to_the_end_of_its_lane(database: SqlDatabase) -> None:
    add_for(database, "alice", 1, 2, 3)
    (first,) = claim(database, limit=1)
    with database.write() as tx:
        tx.outbox.fail(first.id, "not now", retry_at=NOW)
    assert claim_numbers(database, 3) == [2, 3, 1]


def test_one_message_is_claimed_by_its_number_once(database: SqlDatabase) -> None:
    add(database, "screen")
    with database.read() as tx:
        (number,) = tx.outbox.due(["screen"], limit=10, now=NOW)
    with database.write() as tx:
        taken = tx.outbox.claim_one(number, now=NOW, lease=LEASE)
        assert taken == Message(id=number, topic="screen", payload={"number": 0}, created_at=NOW, attempts=1)
        assert tx.outbox.claim_one(number, now=NOW, lease=LEASE) is None
        assert tx.outbox.due(["screen"], limit=10, now=NOW) == []
        again = tx.outbox.claim_one(number, now=NOW + LEASE, lease=LEASE)
        assert again is not None
        assert again.attempts == 2
        assert tx.outbox.claim_one(number + 1, now=NOW, lease=LEASE) is None


def test_who_lost_a_claim_learns_it(database: SqlDatabase) -> None:
    add(database, "screen")
    (first,) = claim(database)
    (second,) = claim(database, after=60)
    with database.write() as tx:
        assert not tx.outbox.holds(first)
        assert tx.outbox.holds(second)
        tx.outbox.release(first)
        assert tx.outbox.holds(second), "who lost it cannot give it back either"
        tx.outbox.release(second)
        assert not tx.outbox.holds(second)
    assert [message.attempts for message in claim(database, after=60)] == [2], "given back, it did not count"
    with database.write() as tx:
        tx.outbox.done([second.id])
        assert not tx.outbox.holds(second)


def test_dead_letters_are_seen_revived_and_dropped(database: SqlDatabase) -> None:
    add(database, "screen", "screen", "other")
    for message in claim(database, "screen"):
        with database.write() as tx:
            tx.outbox.fail(message.id, f"error {message.payload['number']}", retry_at=None)
    with database.write() as tx:
        first, second = tx.outbox.dead(limit=10)
        assert (first.error, first.message.attempts, first.dead_at) == ("error 0", 1, NOW + LEASE)
        assert tx.outbox.dead(limit=1, offset=1) == [second]
        assert tx.outbox.dead_letter(first.message.id) == first
        assert tx.outbox.count_waiting() == {"other": 1}
        assert tx.outbox.revive(first.message.id, at=NOW)
        assert not tx.outbox.revive(first.message.id, at=NOW), "it is dead no more"
        assert not tx.outbox.drop(first.message.id)
        assert tx.outbox.drop(second.message.id)
        assert tx.outbox.dead_letter(second.message.id) is None
    assert [message.attempts for message in claim(database)] == [1]
