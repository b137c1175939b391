"""Whole tables for cleaning up, proving and rebuilding: implements `gate.ports.keeping.Keeping`.

Rows come as streams, in the order of a key, so that memory does not grow with fifteen million of them. The digests
of a table without an index on them are sorted by the database, which does that on disk.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ScalarSelect, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, aliased

from gatehouse.catalog.model import FileState, ServedPage
from gatehouse.core.names import PageFormat
from gatehouse.gate.ports.keeping import PublicationLine, PublishedFile
from gatehouse.storage.sql.models import (
    DirtyBinRow,
    FileRow,
    JournalRow,
    LeaseRow,
    OnlineRoleRow,
    ProjectRow,
    PublicationRow,
    SourceRow,
    TargetRow,
)
from gatehouse.storage.sql.statements import pieces
from gatehouse.tuf.model import BinRef, Family, RawTarget

_AT_ONCE = 5_000
_FEW = 100
_PAGE_COLUMNS = {"html": ("html_sha256", "html_length"), "json": ("json_sha256", "json_length")}
_NO_PAGE = dict.fromkeys(name for columns in _PAGE_COLUMNS.values() for name in columns)


class SqlKeeping:
    """Whole tables, in one transaction."""

    def __init__(self, connection: Connection, *, source: str) -> None:
        self._connection = connection
        self._source = source

    # --- snapshots -----------------------------------------------------------------------------------------------

    def snapshot_at(self, moment: datetime) -> int | None:
        """The version of the snapshot that was live at a moment."""
        # By number, backwards: the publications since that moment are passed over and no index is needed.
        return self._connection.scalar(
            select(PublicationRow.snapshot_version)
            .where(PublicationRow.published_at <= moment, PublicationRow.snapshot_version > 0)
            .order_by(PublicationRow.id.desc())
            .limit(1)
        )

    def last_snapshots(self, count: int) -> list[int]:
        """The versions of the newest published snapshots, newest first."""
        query = (
            select(PublicationRow.snapshot_version)
            .where(PublicationRow.published_at.is_not(None), PublicationRow.snapshot_version > 0)
            .order_by(PublicationRow.id.desc())
        )
        found: dict[int, None] = {}
        # Renewals of the timestamp alone repeat a snapshot, so how far back to read is known only when reading.
        with closing(self._connection.execute(query, execution_options={"yield_per": _FEW})) as rows:
            for (version,) in rows:
                found[version] = None
                if len(found) >= count:
                    break
        return list(found)

    # --- blobs ---------------------------------------------------------------------------------------------------

    def named_blobs(self, *, settled_before: datetime) -> Iterator[str]:
        """The digest of every blob that something names, sorted."""
        columns = (
            FileRow.sha256,
            FileRow.metadata_sha256,
            ProjectRow.html_sha256,
            ProjectRow.json_sha256,
            TargetRow.sha256,
        )
        queries = [select(column).where(column.is_not(None)).order_by(column) for column in columns]
        queries.append(self._lately_named(settled_before))
        return heapq.merge(*(self._digests(query) for query in queries))

    def _lately_named(self, settled_before: datetime) -> Select[*tuple[Any, ...]]:
        """What journalled paths hold that changed lately, and what they held before they did."""
        # By number, backwards, as in `snapshot_at`; the one that is not yet published is always the newest.
        settled = (
            self._connection.scalar(
                select(PublicationRow.id)
                .where(PublicationRow.published_at < settled_before)
                .order_by(PublicationRow.id.desc())
                .limit(1)
            )
            or 0
        )
        young = aliased(JournalRow)
        lately = select(young.path).where(or_(young.publication_id.is_(None), young.publication_id > settled))
        earlier = aliased(JournalRow)
        # The newest change that has settled gave clients of that hour what they may still be asking for.
        since = (
            select(func.max(earlier.id))
            .where(earlier.path == JournalRow.path, earlier.publication_id <= settled)
            .correlate(JournalRow)
            .scalar_subquery()
        )
        return (
            select(JournalRow.sha256)
            .where(
                JournalRow.sha256.is_not(None),
                JournalRow.path.in_(lately),
                JournalRow.id >= func.coalesce(since, 0),
            )
            .order_by(JournalRow.sha256)
        )

    def files_with(self, sha256: str) -> list[str]:
        """The projects that have a file with this content or metadata."""
        query = (
            select(ProjectRow.name)
            .join(FileRow, FileRow.project_id == ProjectRow.id)
            .where(or_(FileRow.sha256 == sha256, FileRow.metadata_sha256 == sha256))
            .distinct()
            .order_by(ProjectRow.name)
        )
        return list(self._connection.scalars(query))

    def is_wanted(self, sha256: str) -> bool:
        """Whether anything but files that were taken out names a blob."""
        file = exists().where(
            or_(FileRow.sha256 == sha256, FileRow.metadata_sha256 == sha256),
            FileRow.state.not_in((FileState.REMOVED, FileState.DELETED)),
        )
        page = exists().where(or_(ProjectRow.html_sha256 == sha256, ProjectRow.json_sha256 == sha256))
        return bool(self._connection.scalar(select(or_(file, page))))

    def known_files(self, filenames: Sequence[str]) -> set[str]:
        """Those of these filenames that the catalog has."""
        return self._known(FileRow.filename, FileRow.source_id, filenames)

    def known_projects(self, names: Sequence[str]) -> set[str]:
        """Those of these names that are projects of the catalog."""
        return self._known(ProjectRow.name, ProjectRow.source_id, names)

    def published_files(self) -> Iterator[PublishedFile]:
        """Every published file, in the order of their ids."""
        query = (
            select(
                ProjectRow.name,
                FileRow.filename,
                FileRow.sha256,
                FileRow.size,
                FileRow.metadata_sha256,
                FileRow.external_url,
            )
            .join(ProjectRow, ProjectRow.id == FileRow.project_id)
            .where(FileRow.source_id == self._source_id(), FileRow.state == FileState.PUBLISHED)
            .order_by(FileRow.id)
        )
        for name, filename, sha256, size, metadata_sha256, external_url in self._stream(query):
            yield PublishedFile(
                project=name,
                filename=filename,
                sha256=sha256,
                size=size,
                metadata_sha256=metadata_sha256,
                external=external_url is not None,
            )

    # --- proving -------------------------------------------------------------------------------------------------

    def publications(self, *, last: int | None = None) -> Iterator[PublicationLine]:
        """Publications in their order, with how many journal entries each took."""
        first = 0
        if last is not None:
            newest = select(PublicationRow.id).order_by(PublicationRow.id.desc()).offset(last).limit(1)
            first = self._connection.scalar(newest) or 0
        counted = self._stream(
            select(JournalRow.publication_id, func.count())
            .where(JournalRow.publication_id > first)
            .group_by(JournalRow.publication_id)
            .order_by(JournalRow.publication_id)
        )
        publications = self._stream(
            select(
                PublicationRow.id,
                PublicationRow.snapshot_version,
                PublicationRow.timestamp_version,
                PublicationRow.changes,
                PublicationRow.published_at,
            )
            .where(PublicationRow.id > first)
            .order_by(PublicationRow.id)
        )
        counts = next(counted, None)
        for number, snapshot, timestamp, changes, published_at in publications:
            taken = 0
            if counts is not None and counts[0] == number:
                taken = counts[1]
                counts = next(counted, None)
            yield PublicationLine(
                id=number,
                snapshot_version=snapshot,
                timestamp_version=max(timestamp, 0),
                changes=changes,
                taken=taken,
                published=published_at is not None,
            )

    def misplaced_targets(self, counts: Sequence[int]) -> int:
        """How many targets stand in bins that are not there."""
        outside = [
            and_(TargetRow.family == int(family), TargetRow.bin >= count)
            for family, count in zip(Family, counts, strict=True)
        ]
        return self._connection.scalar(select(func.count()).select_from(TargetRow).where(or_(*outside))) or 0

    # --- rebuilding ----------------------------------------------------------------------------------------------

    def has_signed(self) -> bool:
        """Whether there are online roles, publications or targets."""
        queries = (select(column).limit(1) for column in (OnlineRoleRow.name, PublicationRow.id, TargetRow.path))
        return any(self._connection.execute(query).first() is not None for query in queries)

    def clear_signed(self) -> None:
        """Forget all targets, online roles, marks of dirty bins and served pages."""
        for table in (TargetRow, OnlineRoleRow, DirtyBinRow):
            self._connection.execute(delete(table))
        self._connection.execute(
            update(ProjectRow).where(ProjectRow.source_id == self._source_id()).values(**_NO_PAGE)
        )

    def restore_targets(self, ref: BinRef, rows: Sequence[RawTarget]) -> None:
        """Add the targets of an empty bin; it does not become dirty."""
        raw = [(int(ref.family), ref.index, *row) for row in rows]
        if self._connection.dialect.name != "postgresql":
            self._connection.exec_driver_sql(
                "INSERT INTO targets (family, bin, path, sha256, length) VALUES (?, ?, ?, ?, ?)", raw
            )
            return
        cursor: Any = self._connection.connection.cursor()
        try:
            with cursor.copy(
                "COPY targets (family, bin, path, sha256, length) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                copy.set_types(("int8", "int8", "text", "bytea", "int8"))
                for row in raw:
                    copy.write_row(row)
        finally:
            cursor.close()

    def serve_pages(self, pages: Sequence[tuple[str, PageFormat, ServedPage]]) -> int:
        """Serve these pages; how many belong to a project that the catalog has."""
        known = self.known_projects([name for name, _, _ in pages])
        mine = [page for page in pages if page[0] in known]
        for name, page_format, served in mine:
            sha256, length = _PAGE_COLUMNS[page_format]
            self._connection.execute(
                update(ProjectRow)
                .where(ProjectRow.source_id == self._source_id(), ProjectRow.name == name)
                .values(**{sha256: served.sha256, length: served.length})
            )
        return len(mine)

    def epoch_of(self, lease: str) -> int:
        """The epoch of the last taking of a lease."""
        return self._connection.scalar(select(LeaseRow.epoch).where(LeaseRow.name == lease)) or 0

    def raise_epoch(self, lease: str, epoch: int) -> None:
        """Let the next taking of a lease have an epoch above this one."""
        self._connection.execute(
            update(LeaseRow).where(LeaseRow.name == lease, LeaseRow.epoch < epoch).values(epoch=epoch)
        )

    # --- helpers -------------------------------------------------------------------------------------------------

    def _stream(self, query: Select[*tuple[Any, ...]]) -> Iterator[Any]:
        return iter(self._connection.execute(query, execution_options={"yield_per": _AT_ONCE}))

    def _digests(self, query: Select[*tuple[Any, ...]]) -> Iterator[str]:
        return (row[0] for row in self._stream(query))

    def _known(
        self, column: InstrumentedAttribute[str], source: InstrumentedAttribute[int], values: Sequence[str]
    ) -> set[str]:
        found: set[str] = set()
        for piece in pieces(set(values)):
            query = select(column).where(source == self._source_id(), column.in_(piece))
            found.update(self._connection.scalars(query))
        return found

    def _source_id(self) -> ScalarSelect[int]:
        return select(SourceRow.id).where(SourceRow.name == self._source).scalar_subquery()
