"""Fixtures: a fresh, migrated, empty database for each test, on SQLite and on PostgreSQL, and folder stores.

Migrations run once a session for each kind of database. On SQLite a test gets a copy of the file; on PostgreSQL
all tests use one database, which is emptied before each. A server is started by the first test that wants one,
unless TEST_POSTGRES_URL names one (15 or newer) whose user is a superuser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url

from gatehouse.storage.blobs.folder import FolderBlobs
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.sql import migrate
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.engine import make_engine
from tests.support.postgres import running_postgres

__all__ = [
    "blobs",
    "database",
    "database_url",
    "empty_postgres",
    "metadata_store",
    "new_postgres_url",
    "postgres_admin",
    "postgres_database",
    "postgres_server",
    "postgres_url",
    "postgres_washable",
    "sqlite_database",
    "sqlite_template",
    "sqlite_url",
]

_numbers = count(1)

#: Empties a PostgreSQL database as its migrations left it: ends what other sessions hold open, goes past the
#: triggers that keep evidence, and starts all numbers at one.
_WASH = """
DO $$
DECLARE name text;
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle';
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE 'DELETE FROM ' || quote_ident(name);
  END LOOP;
  PERFORM setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public';
  INSERT INTO sources (name) VALUES ('local');
END $$
"""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's first database."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: str) -> Iterator[Connection]:
    """A connection that makes and drops databases, so outside any transaction."""
    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def empty_postgres(server: str, admin: Connection) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables, which is gone after the block."""
    name = f"gatehouse_test_{os.getpid()}_{next(_numbers)}"
    admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield _url(server, name)
    admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_postgres_url(postgres_server: str, postgres_admin: Connection) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables."""
    with empty_postgres(postgres_server, postgres_admin) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_washable(postgres_server: str, postgres_admin: Connection) -> Iterator[tuple[str, Engine]]:
    """The URL of a migrated database, and an engine to empty it with: far cheaper than a copy a test."""
    name = f"gatehouse_test_{os.getpid()}"
    postgres_admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    url = _url(postgres_server, name)
    engine = make_engine(url)
    migrate.upgrade(engine)
    yield url, engine
    engine.dispose()
    postgres_admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_washable: tuple[str, Engine]) -> str:
    """The URL of a migrated, empty PostgreSQL database."""
    url, engine = postgres_washable
    # Before the test and not after it, so that nothing that a test leaves can harm another.
    with engine.begin() as connection:
        connection.exec_driver_sql(_WASH)
    return url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[SqlDatabase]:
    """A migrated, empty PostgreSQL database."""
    yield from _opened(postgres_url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy; its log is merged, so that the file is all there is."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    return f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / 'gatehouse.db')}"


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[SqlDatabase]:
    """A fresh, migrated SQLite database."""
    yield from _opened(sqlite_url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[SqlDatabase]:
    """A fresh, migrated database; the test runs once on each kind."""
    yield from _opened(database_url)


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """An empty blob folder."""
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture
def metadata_store(tmp_path: Path) -> FolderMetadataStore:
    """An empty metadata folder."""
    return FolderMetadataStore(tmp_path / "metadata")


def _opened(url: str) -> Iterator[SqlDatabase]:
    database = SqlDatabase(url)
    yield database
    database.close()


def _url(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
