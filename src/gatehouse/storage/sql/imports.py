"""Imports of targets in SQL: implements `gate.ports.Imports`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy import insert as plain_insert

from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import ImportCounts, TargetImport
from gatehouse.storage.sql.models import TargetImportRow


class SqlImports:
    """The imports, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def unfinished(self, digest: str) -> TargetImport | None:
        """The newest import of this input, if it was not finished."""
        query = select(TargetImportRow.__table__).where(TargetImportRow.input == digest)
        row = self._connection.execute(query.order_by(TargetImportRow.id.desc()).limit(1)).one_or_none()
        return None if row is None or row.finished_at is not None else _import(row)

    def begin(self, digest: str, *, at: datetime) -> TargetImport:
        """Record a new import."""
        counts = ImportCounts()
        number = self._connection.execute(
            plain_insert(TargetImportRow)
            .values(input=digest, started_at=at, cursor=0, loaded=0, replaced=0, unchanged=0, refused=0)
            .returning(TargetImportRow.id)
        ).scalar_one()
        return TargetImport(id=number, input=digest, started_at=at, finished_at=None, cursor=0, counts=counts)

    def advance(self, run: TargetImport, *, cursor: int, counts: ImportCounts) -> TargetImport:
        """Say that an import has come to a bin.

        Raises:
            OperatorError: somebody else has brought it further, or finished it.
        """
        after = replace(run, cursor=cursor, counts=run.counts + counts)
        self._set(
            run,
            cursor=cursor,
            loaded=after.counts.loaded,
            replaced=after.counts.replaced,
            unchanged=after.counts.unchanged,
            refused=after.counts.refused,
        )
        return after

    def finish(self, run: TargetImport, *, at: datetime) -> None:
        """Say that nothing of it is left to do.

        Raises:
            OperatorError: somebody else has brought it further, or finished it.
        """
        self._set(run, finished_at=at)

    def newest(self, *, limit: int) -> list[TargetImport]:
        """The newest imports, newest first."""
        query = select(TargetImportRow.__table__).order_by(TargetImportRow.id.desc()).limit(limit)
        return [_import(row) for row in self._connection.execute(query)]

    def _set(self, run: TargetImport, **values: object) -> None:
        # The cursor tells two who work on the same import apart: the slower one finds it moved.
        changed = self._connection.execute(
            update(TargetImportRow)
            .where(
                TargetImportRow.id == run.id,
                TargetImportRow.cursor == run.cursor,
                TargetImportRow.finished_at.is_(None),
            )
            .values(**values)
        ).rowcount
        if not changed:
            raise OperatorError(f"Import {run.id} is being carried on by another process: let it finish.")


def _import(row: Row[*tuple[Any, ...]]) -> TargetImport:
    return TargetImport(
        id=row.id,
        input=row.input,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cursor=row.cursor,
        counts=ImportCounts(
            loaded=row.loaded, replaced=row.replaced, unchanged=row.unchanged, refused=row.refused
        ),
    )
