"""What all tables share: the registry, the names of constraints, and the columns that recur."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import CheckConstraint, MetaData
from sqlalchemy.orm import DeclarativeBase, mapped_column

from gatehouse.storage.sql.types import BigInt, Json, PlainText, UtcDateTime

#: A row number that is never given twice. On SQLite it needs `NEVER_REUSED` beside it.
RowId = Annotated[int, mapped_column(BigInt, primary_key=True, autoincrement=True)]
JsonObject = Annotated[dict[str, Any], mapped_column(Json)]
JsonList = Annotated[list[Any], mapped_column(Json)]

#: SQLite gives the number of a deleted last row again unless told not to; a worker that comes late with the
#: number of its finished message would then finish another's.
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    """The registry of all tables. Constraints have fixed names, so that a migration can speak of them."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        int: BigInt,
        str: PlainText(),
    }


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """A column holds one of these words of ours."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
