"""Column types that mean the same on SQLite and PostgreSQL.

- `UtcDateTime`: an aware moment; microseconds since 1970 on SQLite (sorts, compares, eight bytes), `timestamptz`
  on PostgreSQL. A naive datetime is refused, and what is read is always in UTC.
- `PlainText`: text that sorts by code point on both (`COLLATE "C"`; a locale never changes the order of targets,
  and an upgrade of the C library never breaks an index). NUL and lone surrogates, which PostgreSQL or UTF-8
  cannot hold, become visible escapes, so that a hostile header can neither fail a write nor vanish.
- `RawSha256`: 64 hexadecimal digits outside, 32 bytes inside, for the tables that have millions of rows.
- `Json`: `json`, not `jsonb`: it keeps the order of keys and takes an escaped NUL. None is SQL's NULL.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, LargeBinary, Text, TypeDecorator
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

#: A 64-bit number; on SQLite every INTEGER is one, and only INTEGER may number the rows.
BigInt = BigInteger().with_variant(Integer(), "sqlite")

Json = JSON(none_as_null=True)


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, read back in UTC."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """`timestamptz` on PostgreSQL, an integer elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInt)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | int | None:
        """Refuse a naive moment; count microseconds where the database has no type for it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A naive datetime cannot be stored.")
        if dialect.name == "postgresql":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: datetime | int | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC, whatever the session's time zone is."""
        del dialect
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return _EPOCH + value * _MICROSECOND


class PlainText(TypeDecorator[str]):
    """Text in the order of its code points, with what cannot be stored made visible."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """SQLite compares bytes by itself; PostgreSQL is told to."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TEXT(collation="C"))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape NUL and lone surrogates."""
        del dialect
        return None if value is None else _UNSTORABLE.sub(_escape, value)


class RawSha256(TypeDecorator[str]):
    """A SHA-256, hexadecimal outside and 32 bytes inside."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Refuse what is not a SHA-256."""
        del dialect
        if value is None:
            return None
        if not is_sha256(value):
            raise ValueError("Not a SHA-256 in lower-case hexadecimal.")
        return bytes.fromhex(value)

    def process_result_value(self, value: bytes | memoryview | None, dialect: Dialect) -> str | None:
        """The digest in hexadecimal."""
        del dialect
        return None if value is None else bytes(value).hex()


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\\x00" if code == 0 else f"\\u{code:04x}"
