"""The journal of target changes, the targets by bin, the state of every role, and the publications.

PEP 458 at PyPI's size means fifteen million targets, so `targets` and `journal` hold raw digests, and a bin is
read as one range of one index.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonList, RowId
from gatehouse.storage.sql.types import RawSha256
from gatehouse.tuf.model import Family

_FAMILIES = f"family IN ({', '.join(str(int(family)) for family in Family)})"


class JournalRow(Base):
    """One target change; `sha256` is NULL for a removal. Only `publication_id` changes, once, from NULL.

    What is pending is found by `publication_id IS NULL` and never by the highest number seen: on PostgreSQL a
    number is given before the commit, so a lower one may become visible after a higher one was taken.
    """

    __tablename__ = "journal"
    __table_args__ = (
        CheckConstraint(_FAMILIES, name="family"),
        CheckConstraint("(sha256 IS NULL) = (length IS NULL)", name="removal"),
        CheckConstraint("length(sha256) = 32", name="sha256"),
        Index(
            "ix_journal_pending",
            "id",
            sqlite_where=text("publication_id IS NULL"),
            postgresql_where=text("publication_id IS NULL"),
        ),
        Index(None, "path", "sha256"),
        Index(None, "publication_id"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    at: Mapped[datetime]
    path: Mapped[str]
    family: Mapped[int]
    bin: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(RawSha256)
    length: Mapped[int | None]
    cause: Mapped[str]
    publication_id: Mapped[int | None] = mapped_column(ForeignKey("publications.id"))


class RefusedChangeRow(Base):
    """A journal entry that can never be published, set aside for good. Append-only by trigger."""

    __tablename__ = "refused_changes"

    journal_id: Mapped[int] = mapped_column(ForeignKey("journal.id"), primary_key=True, autoincrement=False)
    reason: Mapped[str]
    at: Mapped[datetime]


class PublicationRow(Base):
    """One publication. Only `published_at` changes, once, from NULL. A timestamp version is used once for ever.

    A chunk of bins moves no timestamp: its number is below zero, because the column takes neither NULL nor any
    number twice.
    """

    __tablename__ = "publications"
    __table_args__ = (
        UniqueConstraint("timestamp_version"),
        Index(
            "ix_publications_unpublished",
            "id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    epoch: Mapped[int]
    snapshot_version: Mapped[int]
    timestamp_version: Mapped[int]
    reason: Mapped[str]
    changes: Mapped[int]
    committed_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    roles: Mapped[JsonList]


class TargetRow(Base):
    """A target as committed, stored next to the others of its bin.

    SQLite: `WITHOUT ROWID` makes the table the tree of its key, so a bin is one run of neighbouring pages.
    PostgreSQL has no such tables, and `CLUSTER` is a one-time act that locks; so the key's index carries the other
    columns too, and a bin is read from neighbouring leaves of that index alone (an index-only scan, for which the
    migration has autovacuum keep the visibility map fresh).
    """

    __tablename__ = "targets"
    __table_args__ = (
        PrimaryKeyConstraint("family", "bin", "path", postgresql_include=["sha256", "length"]),
        CheckConstraint(_FAMILIES, name="family"),
        CheckConstraint("length(sha256) = 32", name="sha256"),
        CheckConstraint("length >= 0", name="length"),
        {"sqlite_with_rowid": False},
    )

    family: Mapped[int] = mapped_column(autoincrement=False)
    bin: Mapped[int] = mapped_column(autoincrement=False)
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(RawSha256)
    length: Mapped[int]


class DirtyBinRow(Base):
    """A bin whose targets were changed past the journal. `mark` grows whenever that happens again."""

    __tablename__ = "dirty_bins"
    __table_args__ = (CheckConstraint(_FAMILIES, name="family"),)

    family: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bin: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mark: Mapped[int]


class TargetImportRow(Base):
    """An import of targets from lists. `cursor` and counts grow with each piece, in the piece's transaction.

    `input` is the digest of what is imported and how, so that another list never goes on where this stopped.
    """

    __tablename__ = "target_imports"
    __table_args__ = (CheckConstraint("length(input) = 32", name="input"), NEVER_REUSED)

    id: Mapped[RowId]
    input: Mapped[str] = mapped_column(RawSha256)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    cursor: Mapped[int]
    loaded: Mapped[int]
    replaced: Mapped[int]
    unchanged: Mapped[int]
    refused: Mapped[int]


class OnlineRoleRow(Base):
    """The committed state of an online role, signature bytes included: enough to write the same file again."""

    __tablename__ = "online_roles"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    expires: Mapped[datetime]
    signatures: Mapped[JsonList]
    sha256: Mapped[str] = mapped_column(RawSha256)
    length: Mapped[int]
    publication_id: Mapped[int] = mapped_column(ForeignKey("publications.id"))


class OfflineMetadataRow(Base):
    """One version of a role that is signed offline, whole. Append-only by trigger."""

    __tablename__ = "offline_metadata"
    __table_args__ = (UniqueConstraint("role", "version"), NEVER_REUSED)

    id: Mapped[RowId]
    role: Mapped[str]
    version: Mapped[int]
    data: Mapped[bytes]
    added_at: Mapped[datetime]
