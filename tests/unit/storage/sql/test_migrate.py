"""Migrations: what they make is what the models say, on both databases, once, whoever starts first."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from gatehouse.core.errors import OperatorError
from gatehouse.storage.sql import migrate
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.models import Base


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlDatabase]:
    url = f"sqlite:///{tmp_path}/empty.db"
    if request.param == "postgres":
        url = request.getfixturevalue("new_postgres_url")
    database = SqlDatabase(url)
    yield database
    database.close()


def _url(database: SqlDatabase) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_models_and_migrations_agree(database: SqlDatabase) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_that_alembic_does_not_compare_are_there(database: SqlDatabase) -> None:
    found = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        checks = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
        assert {str(check["name"]) for check in found.get_check_constraints(table.name)} == checks, table.name


def test_an_empty_database_is_not_current_and_an_upgraded_one_is(empty_database: SqlDatabase) -> None:
    url = _url(empty_database)
    assert migrate.current(url) is None
    assert not migrate.is_current(url)
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head() == "0010"
    assert migrate.is_current(url)


def test_asking_does_not_wait_for_a_writer(database: SqlDatabase) -> None:
    with database.write():
        # One that waited would wait for half a minute, and fail.
        assert migrate.is_current(database.engine)


def test_a_second_upgrade_changes_nothing(database: SqlDatabase) -> None:
    with database.write() as tx:
        tx.outbox.add("kept", {}, at=datetime(2026, 11, 21, tzinfo=UTC))
    migrate.upgrade(database.engine)
    with database.read() as tx:
        assert tx.outbox.count() == (1, 0)


def test_starters_that_collide_all_succeed(empty_database: SqlDatabase) -> None:
    together = Barrier(4)

    def start() -> None:
        together.wait()
        # By URL: each starter has an engine of its own, as a process would.
        migrate.upgrade(_url(empty_database))

    with ThreadPoolExecutor(4) as pool:
        for started in [pool.submit(start) for _ in range(4)]:
            started.result()
    assert migrate.is_current(empty_database.engine)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty_database: SqlDatabase) -> None:
    with empty_database.engine.begin() as connection:
        # In the way of one of the last tables.
        connection.execute(text("CREATE TABLE outbox (id INTEGER)"))
    with pytest.raises(OperatorError, match="outbox"):
        migrate.upgrade(empty_database.engine)
    assert inspect(empty_database.engine).get_table_names() == ["outbox"]


def test_the_tables_of_a_newer_gatehouse_are_refused(empty_database: SqlDatabase) -> None:
    database = empty_database
    migrate.upgrade(database.engine)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not migrate.is_current(database.engine)
    with pytest.raises(OperatorError, match="newer Gatehouse"):
        migrate.upgrade(database.engine)
