"""The targets by bin in SQL: that part of `gate.ports.SigningStore`.

What is loaded past the journal and what a publication takes never cross: both lock the publisher's lease, loading
is refused while a publication is committed and unpublished, and a bin that was rendered is settled only under the
mark that it was read with. So the file of a committed publication can always be rendered again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, tuple_

from gatehouse.core.errors import Conflict, InternalError
from gatehouse.gate.ports import PUBLISHER_LEASE
from gatehouse.storage.sql.models import DirtyBinRow, LeaseRow, PublicationRow, TargetRow
from gatehouse.storage.sql.statements import insert, pieces
from gatehouse.storage.sql.types import is_sha256
from gatehouse.tuf.canonical import check_paths
from gatehouse.tuf.model import BinRef, Family, RawTarget, Target, TargetChange, TargetColumns

# Joined by the database: rows that cross one by one cost more than all that is done with them. That SQLite keeps
# the order of its tree, and joins digests as the bytes that they are, is proved where they are rendered.
_COLUMNS = {
    "sqlite": "SELECT CAST(group_concat(path, ',') AS BLOB), CAST(group_concat(sha256, '') AS BLOB), "
    "CAST(group_concat(length, ',') AS BLOB) FROM targets WHERE family = ? AND bin = ?",
    "postgresql": "SELECT convert_to(string_agg(path, ','), 'UTF8'), string_agg(sha256, ''), "
    "convert_to(string_agg(length::text, ','), 'UTF8') FROM (SELECT path, sha256, length FROM targets "
    "WHERE family = %s AND bin = %s ORDER BY path) AS targets",
}
_PUT = (
    "INSERT INTO targets (family, bin, path, sha256, length) {} ON CONFLICT (family, bin, path) "
    "DO UPDATE SET sha256 = excluded.sha256, length = excluded.length"
)
_PUT_ROW = _PUT.format("VALUES (?, ?, ?, ?, ?)")
_PUT_ARRAYS = _PUT.format(
    "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bytea[], %s::bigint[])"
)
# Row by row, whatever the planner thinks of it; `xmin` stands in the row itself and in no index.
_TOUCH_ARRAYS = (
    "SELECT count(there.xmin) FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS key (family, bin, path), "
    "LATERAL (SELECT targets.xmin FROM targets WHERE targets.family = key.family AND targets.bin = key.bin "
    "AND targets.path = key.path OFFSET 0) AS there"
)
_TOUCH_JSON = (
    "SELECT count(targets.path) FROM json_each(?) AS key CROSS JOIN targets "
    "ON targets.family = json_extract(key.value, '$[0]') AND targets.bin = json_extract(key.value, '$[1]') "
    "AND targets.path = json_extract(key.value, '$[2]')"
)
_COPY = "COPY loaded_targets (family, bin, path, sha256, length) FROM STDIN (FORMAT BINARY)"
_COPIED_TYPES = ("int8", "int8", "text", "bytea", "int8")


class SqlTargets:
    """The targets, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_target(self, path: str, bin_ref: BinRef) -> Target | None:
        """A target as committed."""
        row = self._connection.execute(
            select(TargetRow.path, TargetRow.sha256, TargetRow.length).where(
                TargetRow.family == int(bin_ref.family), TargetRow.bin == bin_ref.index, TargetRow.path == path
            )
        ).one_or_none()
        return None if row is None else Target(path=row.path, sha256=row.sha256, length=row.length)

    def apply(self, changes: Sequence[tuple[BinRef, TargetChange]]) -> None:
        """Set and remove targets; the last change of a path wins.

        Raises:
            InvalidName: a path to set has characters outside the grammar of target paths.
            InternalError: a digest is none.
        """
        last = {(int(ref.family), ref.index, change.path): change.target for ref, change in changes}
        # Sorted: neighbours are written together, and two transactions meet their rows in the same order.
        keys = sorted(last)
        removed = [{"f": f, "b": b, "p": p} for f, b, p in keys if last[f, b, p] is None]
        present = [
            (f, b, p, _digest(target), target.length) for f, b, p in keys if (target := last[f, b, p]) is not None
        ]
        check_paths([path for _, _, path, _, _ in present])
        if removed:
            self._connection.execute(
                delete(TargetRow).where(
                    TargetRow.family == bindparam("f"),
                    TargetRow.bin == bindparam("b"),
                    TargetRow.path == bindparam("p"),
                ),
                removed,
            )
        if present and self._connection.dialect.name == "postgresql":
            # All in one statement: a statement a row costs both sides more than the rows do.
            self._connection.exec_driver_sql(_PUT_ARRAYS, tuple(map(list, zip(*present, strict=True))))
        elif present:
            self._connection.exec_driver_sql(_PUT_ROW, present)

    def touch_targets(self, keys: Sequence[tuple[BinRef, str]]) -> None:
        """Read what `apply` will look at for these targets, whether they are there or not; nothing comes of it."""
        wanted = [(int(ref.family), ref.index, path) for ref, path in keys]
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql(_TOUCH_ARRAYS, tuple(map(list, zip(*wanted, strict=True))))
        else:
            self._connection.exec_driver_sql(_TOUCH_JSON, (json.dumps(wanted),))

    def bins(self, refs: Collection[BinRef]) -> dict[BinRef, list[Target]]:
        """All targets of each of these bins, sorted by path."""
        found: dict[BinRef, list[Target]] = {ref: [] for ref in sorted(refs)}
        for family in Family:
            indexes = [ref.index for ref in found if ref.family == family]
            for piece in pieces(indexes):
                rows = self._connection.execute(
                    select(TargetRow.bin, TargetRow.path, TargetRow.sha256, TargetRow.length)
                    .where(TargetRow.family == int(family), TargetRow.bin.in_(piece))
                    .order_by(TargetRow.family, TargetRow.bin, TargetRow.path)
                )
                # By bin, so that a bin's list is looked up once and not once a target.
                current = BinRef(family=family, index=-1)
                targets: list[Target] = []
                for index, path, sha256, length in rows:
                    if index != current.index:
                        current = BinRef(family=family, index=index)
                        targets = found[current]
                    targets.append(Target(path=path, sha256=sha256, length=length))
        return found

    def count_targets(self) -> int:
        """How many targets there are."""
        return self._connection.scalar(select(func.count()).select_from(TargetRow)) or 0

    def raw_targets(self, refs: Collection[BinRef]) -> Iterator[tuple[BinRef, Sequence[RawTarget]]]:
        """The targets of each of these bins that has any, sorted by path, as a stream."""
        for ref in sorted(refs):
            if rows := self._raw(ref):
                yield ref, rows

    def target_columns(self, refs: Collection[BinRef]) -> Iterator[tuple[BinRef, TargetColumns]]:
        """The targets of each of these bins that has any, by column, sorted by path, as a stream."""
        with self._raw_cursor() as cursor:
            query = _COLUMNS[self._connection.dialect.name]
            for ref in sorted(refs):
                paths, digests, lengths = cursor.execute(query, (int(ref.family), ref.index)).fetchone()
                if paths is not None:
                    yield ref, TargetColumns(paths=paths, digests=digests, lengths=lengths)

    def load_targets(self, bins: Mapping[BinRef, Sequence[RawTarget]]) -> None:
        """Set targets past the journal and mark their bins dirty.

        Raises:
            InvalidName: a path has characters outside the grammar of target paths.
            Conflict: a publication is committed and not yet published.
            InternalError: a path stands in the batch twice.
        """
        check_paths([row[0] for rows in bins.values() for row in rows])
        self._refuse_amid_a_publication()
        raw: list[tuple[int, int, str, bytes, int]] = []
        # Sorted: neighbours are written together, and two transactions meet their rows in the same order.
        for ref in sorted(bins):
            rows = sorted(bins[ref])
            if any(one[0] == other[0] for one, other in itertools.pairwise(rows)):
                raise InternalError("A path stands twice in one batch of targets.")
            family, index = int(ref.family), ref.index
            raw += [(family, index, *row) for row in rows]
        if self._connection.dialect.name == "postgresql":
            self._copy(raw)
        elif raw:
            self._connection.exec_driver_sql(_PUT_ROW, raw)
        self.mark_dirty([ref for ref in bins if bins[ref]])

    def mark_dirty(self, refs: Collection[BinRef]) -> None:
        """Say that the targets of these bins are no longer those that their files list."""
        if refs:
            statement = insert(self._connection, DirtyBinRow)
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["family", "bin"], set_={"mark": DirtyBinRow.mark + 1}
                ),
                [{"family": int(ref.family), "bin": ref.index, "mark": 1} for ref in sorted(refs)],
            )

    def dirty_bins(self, *, limit: int) -> dict[BinRef, int]:
        """Some of the dirty bins, each with its mark."""
        query = select(DirtyBinRow.family, DirtyBinRow.bin, DirtyBinRow.mark)
        query = query.order_by(DirtyBinRow.family, DirtyBinRow.bin).limit(limit)
        return {
            BinRef(family=Family(row.family), index=row.bin): row.mark for row in self._connection.execute(query)
        }

    def dirty_marks(self, refs: Collection[BinRef]) -> dict[BinRef, int]:
        """The marks of those of these bins that are dirty."""
        found: dict[BinRef, int] = {}
        for piece in pieces(refs):
            query = select(DirtyBinRow.family, DirtyBinRow.bin, DirtyBinRow.mark).where(_is_among(piece))
            for row in self._connection.execute(query):
                found[BinRef(family=Family(row.family), index=row.bin)] = row.mark
        return found

    def settle_dirty(self, marks: Mapping[BinRef, int | None]) -> list[BinRef]:
        """These bins are rendered anew as of these marks; those that were marked again meanwhile, if any."""
        now = self.dirty_marks(marks)
        again = [ref for ref in sorted(marks) if now.get(ref) != marks[ref]]
        if not again:
            for piece in pieces([ref for ref, mark in marks.items() if mark is not None]):
                self._connection.execute(delete(DirtyBinRow).where(_is_among(piece)))
        return again

    def _raw(self, ref: BinRef) -> list[RawTarget]:
        mark = "%s" if self._connection.dialect.name == "postgresql" else "?"
        with self._raw_cursor() as cursor:
            cursor.execute(
                f"SELECT path, sha256, length FROM targets WHERE family = {mark} AND bin = {mark} ORDER BY path",  # noqa: S608 -- a constant of ours
                (int(ref.family), ref.index),
            )
            rows: list[RawTarget] = cursor.fetchall()
        return rows

    @contextmanager
    def _raw_cursor(self) -> Iterator[Any]:
        """The driver's own: SQLAlchemy's rows would cost more than the database does."""
        options = {"binary": True} if self._connection.dialect.name == "postgresql" else {}
        with closing(self._connection.connection.cursor(**options)) as cursor:
            yield cursor

    def _refuse_amid_a_publication(self) -> None:
        # The row that every commit of a publication locks: none takes place until this transaction ends.
        lease = select(LeaseRow.epoch).where(LeaseRow.name == PUBLISHER_LEASE).with_for_update()
        self._connection.execute(lease).all()
        waiting = self._connection.scalar(select(PublicationRow.id).where(PublicationRow.published_at.is_(None)))
        if waiting is not None:
            raise Conflict(f"Publication {waiting} is not finished; targets can be loaded when it is.")

    def _copy(self, raw: list[tuple[int, int, str, bytes, int]]) -> None:
        self._connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE IF NOT EXISTS loaded_targets "
            "(family int8, bin int8, path text, sha256 bytea, length int8) ON COMMIT DELETE ROWS"
        )
        cursor: Any = self._connection.connection.cursor()
        with closing(cursor), cursor.copy(_COPY) as copy:
            copy.set_types(_COPIED_TYPES)
            for row in raw:
                copy.write_row(row)
        self._connection.exec_driver_sql(
            _PUT.format("SELECT family, bin, path, sha256, length FROM loaded_targets")
        )
        self._connection.exec_driver_sql("DELETE FROM loaded_targets")


def _digest(target: Target) -> bytes:
    if not is_sha256(target.sha256):
        raise InternalError(f"Target {target.path[:200]} has no SHA-256 in lower-case hexadecimal.")
    return bytes.fromhex(target.sha256)


def _is_among(refs: Collection[BinRef]) -> ColumnElement[bool]:
    return tuple_(DirtyBinRow.family, DirtyBinRow.bin).in_([(int(ref.family), ref.index) for ref in refs])
