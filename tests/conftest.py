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

_LONGEST_ID = 40


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names for bytes that are the same in every process, whatever the time that an archive has in it.

    Tests are handed out to processes by these names, and a stamp of a gzip is another one a second later.
    """
    if isinstance(val, bytes) and (len(val) > _LONGEST_ID or b"\0" in val):
        return f"{argname}-{len(val)}-bytes"
    return None


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
