"""Fixtures: a fresh, migrated, empty database for each test, on SQLite and on PostgreSQL, and folder stores.

Migrations run once a session for each kind of database; a test gets a copy of the result. A PostgreSQL server is
started by the first test that wants one, unless GATEHOUSE_TEST_POSTGRES_URL names one whose user may create
databases.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url
from tests.support.postgres import running_postgres

from gatehouse.storage.blobs.folder import FolderBlobs
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.sql import migrate
from gatehouse.storage.sql.database import SqlDatabase

__all__ = [
    "blobs",
    "database",
    "database_url",
    "metadata_store",
    "new_postgres_url",
    "postgres_admin",
    "postgres_server",
    "postgres_template",
    "sqlite_database",
    "sqlite_template",
    "sqlite_url",
]

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's first database."""
    given = os.environ.get("GATEHOUSE_TEST_POSTGRES_URL")
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


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str, postgres_admin: Connection) -> Iterator[str]:
    """The name of a migrated database to copy."""
    name = f"gatehouse_test_{os.getpid()}_template"
    postgres_admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    migrate.upgrade(_url(postgres_server, name))
    yield name
    postgres_admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_postgres_url(postgres_server: str, postgres_admin: Connection) -> Iterator[Callable[[str], str]]:
    """A function that copies a database by name and returns the URL of the copy; copies go after the test."""
    made: list[str] = []

    def copy(template: str) -> str:
        name = f"gatehouse_test_{os.getpid()}_{next(_numbers)}"
        # Copying files beats replaying a log where nothing is synced.
        postgres_admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        made.append(name)
        return _url(postgres_server, name)

    yield copy
    for name in made:
        postgres_admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


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
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url
    copy: Callable[[str], str] = request.getfixturevalue("new_postgres_url")
    return copy(request.getfixturevalue("postgres_template"))


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
