"""Bring a database to the tables that this version of Gatehouse wants.

An upgrade is one transaction, and only one starter runs it: PostgreSQL holds an advisory lock, SQLite its write
lock. A crash in it leaves the database as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from gatehouse.core.errors import InternalError, OperatorError
from gatehouse.storage.sql.engine import READ_ONLY, make_engine, translated

# Any number will do, as long as it never changes: "gatehouse" has nine letters, PEP 458 the rest.
_ADVISORY_LOCK = 9_458_000_001


def upgrade(engine_or_url: Engine | str) -> None:
    """Create or upgrade all tables; nothing happens if they are current.

    Args:
        engine_or_url: an engine of `make_engine`, or a database URL.

    Raises:
        OperatorError: the database cannot be used, or a newer Gatehouse made its tables.
    """
    with (
        _engine(engine_or_url) as engine,
        _blaming_the_operator(),
        translated(engine),
        engine.begin() as connection,
    ):
        if engine.dialect.name == "postgresql":
            # Held until the commit; a second starter then finds nothing to do.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        config = _config(connection)
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise OperatorError("A newer Gatehouse made the tables of this database: use that version.") from error


def current(engine_or_url: Engine | str) -> str | None:
    """The revision of the tables, or None where there are none.

    Raises:
        OperatorError: the database cannot be used.
    """
    with _engine(engine_or_url) as engine, translated(engine), engine.connect() as connection:
        # A readiness probe must not wait for SQLite's writer.
        connection.execution_options(**{READ_ONLY: True})
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision that this version of Gatehouse wants."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_current(engine_or_url: Engine | str) -> bool:
    """Whether the tables are those that this version of Gatehouse wants.

    Raises:
        OperatorError: the database cannot be used.
    """
    return current(engine_or_url) == head()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "gatehouse.storage.sql:migrations")
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@contextmanager
def _blaming_the_operator() -> Iterator[None]:
    try:
        yield
    except InternalError as error:
        # Foreign tables in the way, or rights that are missing.
        raise OperatorError(f"The tables cannot be upgraded: {error.message}") from error


@contextmanager
def _engine(engine_or_url: Engine | str) -> Iterator[Engine]:
    if isinstance(engine_or_url, Engine):
        yield engine_or_url
        return
    engine = make_engine(engine_or_url)
    try:
        yield engine
    finally:
        engine.dispose()
