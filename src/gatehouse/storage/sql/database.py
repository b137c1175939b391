"""`SqlDatabase`: transactions on SQLite or PostgreSQL, for the stories of the gate.

Each block has a connection of its own, so a writing block must not be opened inside another on the same thread:
on SQLite the inner one would wait for the outer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from gatehouse.catalog.model import LOCAL_SOURCE
from gatehouse.storage.sql.accounts import SqlAccounts
from gatehouse.storage.sql.audit import SqlAudit
from gatehouse.storage.sql.catalog import SqlCatalog
from gatehouse.storage.sql.checks import SqlChecks
from gatehouse.storage.sql.engine import READ_ONLY, make_engine, translated
from gatehouse.storage.sql.fingerprints import SqlFingerprints
from gatehouse.storage.sql.imports import SqlImports
from gatehouse.storage.sql.journal import SqlJournal
from gatehouse.storage.sql.keeping import SqlKeeping
from gatehouse.storage.sql.leases import SqlLeases
from gatehouse.storage.sql.outbox import SqlOutbox
from gatehouse.storage.sql.runs import SqlRuns
from gatehouse.storage.sql.screening import SqlScreening
from gatehouse.storage.sql.settled import SqlSettledFindings
from gatehouse.storage.sql.signing import SqlSigning
from gatehouse.storage.sql.staff import SqlStaff
from gatehouse.storage.sql.summaries import SqlSummaries


class SqlTransaction:
    """One transaction and its stores. They end with it."""

    def __init__(self, connection: Connection, *, source: str) -> None:
        self.catalog = SqlCatalog(connection, source=source)
        self.accounts = SqlAccounts(connection)
        self.journal = SqlJournal(connection)
        self.signing = SqlSigning(connection)
        self.leases = SqlLeases(connection)
        self.keeping = SqlKeeping(connection, source=source)
        self.imports = SqlImports(connection)
        self.staff = SqlStaff(connection)
        self.audit = SqlAudit(connection)
        self.outbox = SqlOutbox(connection)
        self.screening = SqlScreening(connection)
        self.summaries = SqlSummaries(connection)
        self.fingerprints = SqlFingerprints(connection)
        self.settled = SqlSettledFindings(connection)
        self.checks = SqlChecks(connection, source=source)
        self.runs = SqlRuns(connection, source=source)


class SqlDatabase:
    """Implements `gate.ports.Database`. Safe to use from many threads."""

    def __init__(self, url: str, *, source: str = LOCAL_SOURCE) -> None:
        """Connects to nothing yet.

        Args:
            url: `sqlite:///path` or `postgresql://…`.
            source: whose catalog this is.

        Raises:
            OperatorError: the URL is not one of a database that is supported.
        """
        self._engine = make_engine(url)
        self._source = source

    @property
    def engine(self) -> Engine:
        """The engine, for migrations and for looking at tables."""
        return self._engine

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """A transaction that sees one consistent state; the database itself refuses a write in it.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        with translated(self._engine), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            connection.execution_options(**{READ_ONLY: True})
            with connection.begin():
                yield SqlTransaction(connection, source=self._source)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """A transaction that is durable when the block ends. An exception rolls it back whole.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or another writer took too long.
            InternalError: it refused a row or a statement.
        """
        with translated(self._engine), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                yield SqlTransaction(connection, source=self._source)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()
