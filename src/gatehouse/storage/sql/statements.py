"""What the stores share: inserts that take a conflict, and long lists in pieces."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from gatehouse.storage.sql.models import Base

T = TypeVar("T")

#: Far below the number of parameters that either database takes in a statement.
PIECE = 500


def insert(connection: Connection, model: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`, in this database's dialect."""
    return postgresql.insert(model) if connection.dialect.name == "postgresql" else sqlite.insert(model)


def pieces(values: Collection[T]) -> Iterator[list[T]]:
    """The values in lists that are short enough for one IN."""
    iterator = iter(values)
    while piece := list(islice(iterator, PIECE)):
        yield piece
