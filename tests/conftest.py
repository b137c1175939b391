"""Fixtures for all tests; each comes from a module of tests/support."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from tests.support.buckets import moto_bucket, moto_server
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
from tests.support.metadata_places import metadata_place

# On top of the profile in force (under CI: the same examples every time): no example fails for being slow.
settings.register_profile("gatehouse", settings(), deadline=None)
settings.load_profile("gatehouse")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets the log up for its process; the next test has its own."""
    yield
    structlog.reset_defaults()


__all__ = [
    "blobs",
    "database",
    "database_url",
    "metadata_place",
    "metadata_store",
    "moto_bucket",
    "moto_server",
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
