"""Accounts, tokens and owners in SQL, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Account, Background, TokenRecord
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.storage.sql.models import UploadTokenRow

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def add_token(tx: SqlTransaction, token_id: str, *, at: datetime = NOW) -> TokenRecord:
    account = tx.accounts.ensure_account("alice", at=at)
    return tx.accounts.add_token(
        token_id=token_id,
        account=account,
        description="laptop",
        projects=["demo", "other"],
        expires_at=NOW + timedelta(days=1),
        at=at,
    )


def test_an_account_is_made_once(database: SqlDatabase) -> None:
    together = Barrier(3)

    def ensure(_: int) -> Account:
        together.wait()
        with database.write() as tx:
            return tx.accounts.ensure_account("alice", at=NOW)

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(ensure, range(3)))) == 1
    with database.write() as tx:
        assert tx.accounts.ensure_account("Alice", at=NOW) != tx.accounts.ensure_account("alice", at=NOW)


def test_a_token_is_found_and_listed_oldest_first(database: SqlDatabase) -> None:
    with database.write() as tx:
        young = add_token(tx, "a", at=NOW)
        old = add_token(tx, "b", at=NOW - timedelta(days=1))
    assert young == TokenRecord(
        id="a",
        account=young.account,
        description="laptop",
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
        projects=("demo", "other"),
        revoked_at=None,
        last_used_at=None,
    )
    with database.read() as tx:
        assert tx.accounts.find_token("a") == young
        assert tx.accounts.find_token("c") is None
        assert tx.accounts.list_tokens() == [old, young]


def test_a_token_id_is_used_once(database: SqlDatabase) -> None:
    with database.write() as tx:
        add_token(tx, "a")
    with pytest.raises(InternalError), database.write() as tx:
        add_token(tx, "a")


def test_a_revoked_token_keeps_the_first_time(database: SqlDatabase) -> None:
    with database.write() as tx:
        add_token(tx, "a")
        assert not tx.accounts.revoke_token("b", at=NOW)
        assert tx.accounts.revoke_token("a", at=NOW)
        assert tx.accounts.revoke_token("a", at=NOW + timedelta(hours=1))
        found = tx.accounts.find_token("a")
    assert found is not None
    assert found.revoked_at == NOW


def test_the_latest_use_stands(database: SqlDatabase) -> None:
    with database.write() as tx:
        add_token(tx, "a")
        for hours in (1, 3, 2):
            tx.accounts.touch_token("a", at=NOW + timedelta(hours=hours))
        found = tx.accounts.find_token("a")
    assert found is not None
    assert found.last_used_at == NOW + timedelta(hours=3)


def test_no_column_could_hold_a_secret() -> None:
    assert set(UploadTokenRow.__table__.c.keys()) == {
        "id",
        "account_id",
        "description",
        "projects",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    }


def test_owning_twice_is_owning(database: SqlDatabase) -> None:
    with database.write() as tx:
        alice = tx.accounts.ensure_account("alice", at=NOW)
        bob = tx.accounts.ensure_account("bob", at=NOW)
        project = tx.catalog.add_project(name="demo", display_name="demo", at=NOW)
        assert not tx.accounts.owns(alice.id, project.id)
        tx.accounts.add_owner(alice.id, project.id)
        tx.accounts.add_owner(alice.id, project.id)
        assert tx.accounts.owns(alice.id, project.id)
        assert not tx.accounts.owns(bob.id, project.id)


def test_an_owner_is_an_account_that_exists(database: SqlDatabase) -> None:
    with pytest.raises(InternalError), database.write() as tx:
        tx.accounts.add_owner(1, 1)


def test_the_background_of_an_account_is_since_when_it_is_here_and_a_bounded_number_of_its_projects(
    database: SqlDatabase,
) -> None:
    with database.write() as tx:
        alice = tx.accounts.ensure_account("alice", at=NOW)
        tx.accounts.ensure_account("bob", at=NOW + timedelta(days=1))
        for name in ("two", "one", "three"):
            project = tx.catalog.add_project(name=name, display_name=name, at=NOW)
            tx.accounts.add_owner(alice.id, project.id)
    with database.read() as tx:
        assert tx.accounts.background("alice", limit=2) == Background(since=NOW, projects=("one", "three"))
        assert tx.accounts.background("bob", limit=2) == Background(since=NOW + timedelta(days=1), projects=())
        assert tx.accounts.background("nobody", limit=2) is None
