"""Migrations: what they make is what the models say, on both databases, once, whoever starts first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from gatehouse.core.errors import OperatorError
from gatehouse.storage.sql import migrate
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.engine import make_engine
from gatehouse.storage.sql.models import Base


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    copy: Callable[[str], str] = request.getfixturevalue("new_postgres_url")
    return copy("template1")


def test_models_and_migrations_agree(database: SqlDatabase) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_that_alembic_does_not_compare_are_there(database: SqlDatabase) -> None:
    found = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        wanted = {str(check.name) for check in table.constraints if type(check).__name__ == "CheckConstraint"}
        assert {str(check["name"]) for check in found.get_check_constraints(table.name)} == wanted, table.name


def test_an_empty_database_is_not_current_and_an_upgraded_one_is(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    assert not migrate.is_current(empty_url)
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == migrate.head() is not None
    assert migrate.is_current(empty_url)


def test_a_second_upgrade_changes_nothing(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.outbox.add("kept", {}, at=_moment())
    migrate.upgrade(database.engine)
    with database.read() as tx:
        assert tx.outbox.count() == (1, 0)


def test_starters_that_collide_both_succeed(empty_url: str) -> None:
    together = threading.Barrier(4)
    faults: list[BaseException] = []

    def start() -> None:
        together.wait()
        try:
            migrate.upgrade(empty_url)
        except BaseException as error:  # noqa: BLE001 a thread must hand its fault over
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert migrate.is_current(empty_url)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(empty_url)
    with engine.begin() as connection:
        # The last table that the first migration makes is in its way.
        connection.execute(text("CREATE TABLE outbox (id INTEGER)"))
    del monkeypatch
    with pytest.raises(OperatorError):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == ["outbox"]
    engine.dispose()


def test_the_tables_of_a_newer_gatehouse_are_refused(database: SqlDatabase) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not migrate.is_current(database.engine)
    with pytest.raises(OperatorError, match="newer Gatehouse"):
        migrate.upgrade(database.engine)


def _moment():  # type: ignore[no-untyped-def]
    from datetime import UTC, datetime

    return datetime(2026, 11, 21, tzinfo=UTC)
