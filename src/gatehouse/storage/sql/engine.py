"""Engines for SQLite and PostgreSQL, and their errors in our words.

SQLite: write-ahead log, `synchronous=FULL` (a commit is on disk when it returns), foreign keys on, half a minute
of patience for another writer. The driver's own transactions are switched off: a writer says BEGIN IMMEDIATE,
because a transaction that reads first and writes later fails at once when another wrote in between.
PostgreSQL: psycopg 3. Reading is REPEATABLE READ and read-only; writing is READ COMMITTED with explicit row locks.

No message here contains the URL, because a URL may contain a password.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from gatehouse.core.errors import InternalError, OperatorError, StoreError

#: The execution option that tells a reading connection from a writing one (a bare engine writes).
READ_ONLY = "gatehouse_read_only"

_BUSY_SECONDS = 30
_CONNECT_SECONDS = 10
# RETURNING came with 3.35.
_OLDEST_SQLITE = (3, 35)
_POSTGRESQL = ("postgresql", "postgresql+psycopg", "postgres")
_SQLITE = ("sqlite", "sqlite+pysqlite")

# Compact, and strict: PostgreSQL refuses NaN where SQLite would keep it.
_to_json = partial(json.dumps, allow_nan=False, separators=(",", ":"))


class DatabaseUnavailable(StoreError):
    """The database cannot be reached, is locked, or gave up on this transaction: trying again may help."""

    code = "database-unavailable"


def make_engine(url: str) -> Engine:
    """An engine for a database URL. Nothing is connected yet.

    Args:
        url: `sqlite:///path` or `postgresql://user:password@host/database` (also `postgresql+psycopg://`).

    Raises:
        OperatorError: it is not such a URL, or what it needs is not installed. The text never quotes the URL.
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        # `from None`: what could not be parsed may be a password, and the cause quotes it.
        raise OperatorError(
            "The database URL cannot be read: use sqlite:///path or postgresql://user@host/database, and "
            "percent-encode special characters in the password."
        ) from None
    if parsed.drivername in _SQLITE:
        return _sqlite(parsed)
    if parsed.drivername in _POSTGRESQL:
        return _postgresql(parsed)
    raise OperatorError("The database URL must begin with sqlite:/// or postgresql://.")


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn what the database raises into errors of ours; all other errors pass.

    Raises:
        DatabaseUnavailable: it cannot be reached, is locked, or gave up.
        InternalError: it refused what we asked of it.
    """
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise DatabaseUnavailable(
            f"The {_words(engine)} database cannot be used: {_reason(error, engine.url)}"
        ) from error
    except IntegrityError as error:
        raise InternalError(
            f"The {_words(engine)} database refused a row: {_reason(error, engine.url)}"
        ) from error
    except SQLAlchemyError as error:
        raise InternalError(
            f"The {_words(engine)} database refused a statement: {_reason(error, engine.url)}"
        ) from error


def _sqlite(url: URL) -> Engine:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise OperatorError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed.")
    if url.database in (None, "", ":memory:"):
        # Every thread would get an empty database of its own.
        raise OperatorError("The database URL names no file: use sqlite:///path.")
    engine = create_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
        pool_size=5,
        max_overflow=27,
        hide_parameters=True,
        json_serializer=_to_json,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    del entry
    cursor = connection.cursor()
    try:
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # Without it, INSERT OR REPLACE deletes a row past the triggers that forbid that.
        cursor.execute("PRAGMA recursive_triggers = ON")
        cursor.execute("PRAGMA trusted_schema = OFF")
    finally:
        cursor.close()


def _write_ahead(cursor: DBAPICursor) -> None:
    """Switch the file to a write-ahead log. SQLite does not wait for its lock here, so we do."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            cursor.fetchall()
            return


def _begin_sqlite(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get(READ_ONLY, False))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _postgresql(url: URL) -> Engine:
    if find_spec("psycopg") is None:
        raise OperatorError("PostgreSQL needs psycopg: install gatehouse-index[postgres].")
    options: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=options,
            pool_size=5,
            max_overflow=27,
            # A server that was restarted costs a new connection, not a failed upload.
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=_to_json,
        )
    except ImportError as error:
        raise OperatorError("PostgreSQL needs psycopg with libpq: install gatehouse-index[postgres].") from error


def _words(engine: Engine) -> str:
    return "SQLite" if engine.dialect.name == "sqlite" else "PostgreSQL"


def _reason(error: SQLAlchemyError, url: URL) -> str:
    """The first line of what the driver said, without a password and without the statement."""
    said = error.orig if isinstance(error, DBAPIError) else error
    lines = str(said).splitlines()
    reason = lines[0][:300] if lines else type(said).__name__
    for secret in _secrets(url):
        reason = reason.replace(secret, "***")
    return reason


def _secrets(url: URL) -> list[str]:
    found: list[str] = []
    for value in (url.password, *(url.query.get(name) for name in ("password", "sslpassword"))):
        for secret in (value,) if isinstance(value, str) else value or ():
            found += [secret, quote(secret, safe=""), repr(secret)[1:-1]]
    return sorted(filter(None, found), key=len, reverse=True)
