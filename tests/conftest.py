"""Fixtures for all tests; each comes from a module of tests/support."""

from collections.abc import Iterator

import pytest
import structlog

from tests.support.databases import (
    blobs,
    database,
    database_url,
    metadata_store,
    new_postgres_url,
    postgres_admin,
    postgres_database,
    postgres_server,
    postgres_url,
    postgres_washable,
    sqlite_database,
    sqlite_template,
    sqlite_url,
)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets the log up for its process; the next test has its own."""
    yield
    structlog.reset_defaults()


__all__ = [
    "blobs",
    "database",
    "database_url",
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
