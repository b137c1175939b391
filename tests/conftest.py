"""Fixtures for all tests; each comes from a module of tests/support."""

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
