"""Database URLs and transactions: what is refused, what is durable, what a failure leaves."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from gatehouse.catalog.model import Event
from gatehouse.core.errors import InternalError, NotFound, OperatorError
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction
from gatehouse.storage.sql.engine import DatabaseUnavailable
from gatehouse.storage.sql.models import EventRow, OutboxRow

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
SECRET = "pa%73s/w"  # not a password of anything; `%73` is an `s`


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        f"mysql://user:{SECRET}@host.invalid/x",
        f"postgresql://user:pw@host.invalid:{SECRET}/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///x.db",
    ],
)
def test_a_url_of_no_supported_database_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        SqlDatabase(url)
    assert "w@" not in caught.value.message
    assert "pa" not in caught.value.message.replace("path", "").replace("password", "").replace("passw", "")
    assert caught.value.__cause__ is None


def test_a_server_that_cannot_be_reached_is_one_error_without_the_password() -> None:
    database = SqlDatabase(f"postgresql://user:{SECRET}@/x?host=/nonexistent&password=other-{SECRET}")
    with pytest.raises(DatabaseUnavailable) as caught, database.read():
        pass
    assert "pass/w" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_password_that_a_driver_repeats_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    database = SqlDatabase("postgresql://user:hunter2%21@/x?host=/nonexistent")

    def refuse(*_: object, **__: object) -> None:
        raise database.engine.dialect.loaded_dbapi.OperationalError("no: password=hunter2! or hunter2%21")

    monkeypatch.setattr(database.engine.dialect, "connect", refuse)
    with pytest.raises(DatabaseUnavailable, match=r"no: password=\*\*\* or \*\*\*"), database.read():
        pass


def test_without_psycopg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatehouse.storage.sql.engine.find_spec", lambda _: None)
    assert importlib.util.find_spec("psycopg") is not None
    with pytest.raises(OperatorError, match=r"gatehouse-index\[postgres\]"):
        SqlDatabase("postgresql://host.invalid/x")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    assert SqlDatabase(f"{scheme}://host.invalid/x").engine.dialect.driver == "psycopg"


def test_a_sqlite_folder_that_is_missing_is_one_error(tmp_path: Path) -> None:
    database = SqlDatabase(f"sqlite:///{tmp_path}/missing/x.db")
    with pytest.raises(DatabaseUnavailable, match="unable to open"), database.write():
        pass


def test_a_file_that_is_no_database_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at" * 100)
    database = SqlDatabase(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises((OperatorError, InternalError), match="not a database"), database.write():
        pass


def test_sqlite_is_opened_so_that_a_commit_is_durable(sqlite_database: SqlDatabase) -> None:
    with sqlite_database.engine.connect() as connection:
        wanted = {
            "journal_mode": "wal",
            "synchronous": 2,  # FULL
            "foreign_keys": 1,
            "recursive_triggers": 1,
            "busy_timeout": 30_000,
        }
        for pragma, value in wanted.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value, pragma


class TestTransactions:
    def test_what_is_written_is_read_later(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.accounts.ensure_account("alice", at=NOW)
        with database.read() as tx, database.read() as other:
            assert tx.accounts is not other.accounts
            assert tx.outbox.count() == (0, 0)

    def test_an_exception_rolls_back_whole_and_passes_unchanged(self, database: SqlDatabase) -> None:
        def fail(tx: SqlTransaction) -> None:
            tx.catalog.add_project(name="a", display_name="A", at=NOW)
            tx.outbox.add("topic", {}, at=NOW)
            raise NotFound("mine")

        with pytest.raises(NotFound, match="mine"), database.write() as tx:
            fail(tx)
        with database.read() as tx:
            assert tx.catalog.find_project("a") is None
            assert tx.outbox.count() == (0, 0)

    def test_a_reading_transaction_cannot_write(self, database: SqlDatabase) -> None:
        with pytest.raises((InternalError, DatabaseUnavailable), match=r"read.?only"), database.read() as tx:
            tx.outbox.add("topic", {}, at=NOW)
        with database.write() as tx:
            tx.outbox.add("topic", {}, at=NOW)

    def test_a_reading_transaction_sees_one_state(self, database: SqlDatabase) -> None:
        with database.read() as reader:
            assert reader.outbox.count() == (0, 0)
            with database.write() as writer:
                writer.outbox.add("topic", {}, at=NOW)
            assert reader.outbox.count() == (0, 0)
        with database.read() as reader:
            assert reader.outbox.count() == (1, 0)

    def test_many_threads_write_and_none_is_lost(self, database: SqlDatabase) -> None:
        together = Barrier(8)

        def work(number: int) -> None:
            together.wait()
            for _ in range(5):
                with database.write() as tx:
                    # Reads first: on SQLite a deferred transaction would fail here.
                    tx.outbox.count()
                    tx.outbox.add("topic", {"from": number}, at=NOW)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        with database.read() as tx:
            assert tx.outbox.count() == (40, 0)

    def test_a_writer_that_waits_too_long_gets_one_error(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gatehouse.storage.sql.engine._BUSY_SECONDS", 0.05)
        database = SqlDatabase(sqlite_url)
        with (
            database.write(),
            pytest.raises(DatabaseUnavailable, match="locked"),
            database.write(),
        ):
            pass
        database.close()


class TestValues:
    def test_a_moment_comes_back_in_utc_to_the_microsecond(self, database: SqlDatabase) -> None:
        nepal = timezone(timedelta(hours=5, minutes=45))
        for moment in (NOW, NOW.astimezone(nepal), datetime(1969, 1, 1, 0, 0, 0, 1, tzinfo=UTC)):
            with database.engine.begin() as connection:
                added = connection.execute(
                    insert(EventRow).values(at=moment, source="s", actor="a", action="b", project="p")
                ).inserted_primary_key
                assert added is not None
                found = connection.scalar(select(EventRow.at).where(EventRow.id == added[0]))
            assert found == moment
            assert found is not None
            assert found.utcoffset() == timedelta(0)

    def test_moments_sort_and_compare(self, database: SqlDatabase) -> None:
        moments = [NOW + timedelta(microseconds=n) for n in (5, -7, 0, 10**12)]
        with database.engine.begin() as connection:
            for moment in moments:
                connection.execute(
                    insert(EventRow).values(at=moment, source="s", actor="a", action="b", project="p")
                )
            later = connection.scalars(select(EventRow.at).where(EventRow.at > NOW).order_by(EventRow.at))
            assert list(later) == sorted(moment for moment in moments if moment > NOW)

    def test_a_naive_moment_is_refused(self, database: SqlDatabase) -> None:
        with pytest.raises(InternalError, match="naive"), database.write() as tx:
            tx.outbox.add("topic", {}, at=NOW.replace(tzinfo=None))

    def test_hostile_text_neither_fails_nor_vanishes(self, database: SqlDatabase) -> None:
        with database.write() as tx:
            tx.catalog.record(
                Event(at=NOW, actor="nul \x00", action="half \ud800 pair", project="p", detail="\U0001f40d'\"; --")
            )
            tx.outbox.add("topic", {"nul \x00": "half \ud800 pair"}, at=NOW)
            assert tx.catalog.find_project("a\x00b") is None
        with database.engine.connect() as connection:
            row = connection.execute(select(EventRow.actor, EventRow.action, EventRow.detail)).one()
            assert tuple(row) == ("nul \\x00", "half \\ud800 pair", "\U0001f40d'\"; --")
            assert connection.scalar(select(OutboxRow.payload)) == {"nul \x00": "half \ud800 pair"}

    def test_what_json_does_not_know_is_refused(self, database: SqlDatabase) -> None:
        with pytest.raises((InternalError, ValueError)), database.write() as tx:
            tx.outbox.add("topic", {"not a number": float("nan")}, at=NOW)

    def test_text_sorts_by_code_point(self, database: SqlDatabase) -> None:
        names = ["a-b", "a", "B", "ab", "a.b", "a_b", "é", "z"]
        with database.write() as tx:
            for name in names:
                tx.accounts.ensure_account(name, at=NOW)
        with database.engine.connect() as connection:
            found = connection.scalars(text("SELECT name FROM accounts ORDER BY name")).all()
        assert found == sorted(names)


def test_an_error_quotes_no_values(sqlite_database: SqlDatabase) -> None:
    def add_token() -> None:
        with sqlite_database.write() as tx:
            account = tx.accounts.ensure_account("alice", at=NOW)
            tx.accounts.add_token(
                token_id="private", account=account, description="", projects=(), expires_at=None, at=NOW
            )

    add_token()
    with pytest.raises(InternalError) as caught:
        add_token()
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert "private" not in str(caught.value)
    assert "private" not in str(caught.value.__cause__)
