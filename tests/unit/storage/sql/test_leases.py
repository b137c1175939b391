"""Leases with fencing epochs, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from threading import Event as Signal

import pytest

from gatehouse.core.errors import LeaseLost
from gatehouse.gate.ports import Lease
from gatehouse.storage.sql.database import SqlDatabase

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=30)


def acquire(
    database: SqlDatabase, holder: str, *, after: float = 0, steal: bool = False, name: str = "publisher"
) -> Lease | None:
    with database.write() as tx:
        return tx.leases.acquire(name, holder, ttl=TTL, now=NOW + timedelta(seconds=after), steal=steal)


def held(database: SqlDatabase, holder: str, *, after: float = 0, steal: bool = False) -> Lease:
    lease = acquire(database, holder, after=after, steal=steal)
    assert lease is not None
    return lease


def test_a_free_lease_is_taken_and_then_another_waits(database: SqlDatabase) -> None:
    assert held(database, "one") == Lease(name="publisher", holder="one", epoch=1, expires_at=NOW + TTL)
    assert acquire(database, "two", after=29.9) is None
    assert acquire(database, "two", name="something else") is not None


def test_a_lease_that_ended_is_taken_with_a_higher_epoch(database: SqlDatabase) -> None:
    one, two = held(database, "one"), held(database, "two", after=30)
    assert two.epoch > one.epoch
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check(one)
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.renew(one, ttl=TTL, now=NOW)
    with database.write() as tx:
        tx.leases.check(two)


def test_a_lease_can_be_stolen(database: SqlDatabase) -> None:
    one, two = held(database, "one"), held(database, "two", steal=True)
    assert two.epoch > one.epoch
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check(one)


def test_a_holder_that_comes_back_fences_out_its_former_self(database: SqlDatabase) -> None:
    before, after = held(database, "one"), held(database, "one", after=1)
    assert after.epoch > before.epoch
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check(before)


def test_a_renewed_lease_is_held_longer_in_the_same_epoch(database: SqlDatabase) -> None:
    one = held(database, "one")
    with database.write() as tx:
        renewed = tx.leases.renew(one, ttl=TTL, now=NOW + timedelta(seconds=20))
    assert renewed == Lease(name="publisher", holder="one", epoch=1, expires_at=NOW + timedelta(seconds=50))
    assert acquire(database, "two", after=49) is None
    assert acquire(database, "two", after=50) is not None


def test_an_ended_lease_that_nobody_took_is_renewed(database: SqlDatabase) -> None:
    one = held(database, "one")
    with database.write() as tx:
        tx.leases.renew(one, ttl=TTL, now=NOW + timedelta(hours=1))
    assert acquire(database, "two", after=3_601) is None


def test_a_released_lease_is_free_and_its_epoch_does_not_come_again(database: SqlDatabase) -> None:
    one = held(database, "one")
    with database.write() as tx:
        tx.leases.release(one)
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check(one)
    two = held(database, "two")
    assert two.epoch > one.epoch
    with database.write() as tx:
        tx.leases.release(one)  # it is another's by now
        tx.leases.check(two)


def test_an_unknown_lease_is_lost(database: SqlDatabase) -> None:
    with pytest.raises(LeaseLost), database.write() as tx:
        tx.leases.check(Lease(name="unknown", holder="one", epoch=0, expires_at=NOW))


def test_a_rolled_back_taking_took_nothing(database: SqlDatabase) -> None:
    def fail() -> None:
        with database.write() as tx:
            tx.leases.acquire("publisher", "one", ttl=TTL, now=NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert held(database, "two").epoch == 1


def test_of_many_that_want_it_one_gets_it(database: SqlDatabase) -> None:
    together = Barrier(6)

    def want(number: int) -> Lease | None:
        together.wait()
        return acquire(database, f"holder {number}")

    with ThreadPoolExecutor(6) as pool:
        got = [lease for lease in pool.map(want, range(6)) if lease is not None]
    assert len(got) == 1


def test_epochs_never_repeat(database: SqlDatabase) -> None:
    def steal(number: int) -> list[int]:
        return [held(database, f"holder {number}", steal=True).epoch for _ in range(8)]

    with ThreadPoolExecutor(4) as pool:
        epochs = [epoch for found in pool.map(steal, range(4)) for epoch in found]
    assert sorted(epochs) == list(range(1, 33))


def test_nobody_takes_a_checked_lease_before_the_commit(postgres_database: SqlDatabase) -> None:
    database = postgres_database
    one = held(database, "one")
    committed = Signal()

    def thief() -> bool:
        held(database, "two", steal=True)
        return committed.is_set()

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            tx.leases.check(one)
            stolen = pool.submit(thief)
            with pytest.raises(TimeoutError):
                stolen.result(0.2)
            committed.set()
        assert stolen.result(60)
