"""The catalog: what the index holds, who owns it, and what was done to it.

No relationship and no cascade: a row goes only when somebody deletes that row, and `events` never go.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.catalog.model import FileState, ProjectStatus
from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonList, JsonObject, RowId, one_of


class SourceRow(Base):
    """An index that subjects come from; `local` is this one."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("name"), NEVER_REUSED)

    id: Mapped[RowId]
    name: Mapped[str]


class ProjectRow(Base):
    """A project, with the pages that are served of it now."""

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("source_id", "name"),
        one_of("status", ProjectStatus),
        CheckConstraint("(html_sha256 IS NULL) = (html_length IS NULL)", name="html"),
        CheckConstraint("(json_sha256 IS NULL) = (json_length IS NULL)", name="json"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    name: Mapped[str]
    display_name: Mapped[str]
    status: Mapped[str]
    status_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    html_sha256: Mapped[str | None]
    html_length: Mapped[int | None]
    json_sha256: Mapped[str | None]
    json_length: Mapped[int | None]


class ProjectOwnerRow(Base):
    """An account that may upload to a project."""

    __tablename__ = "project_owners"
    __table_args__ = (Index(None, "account_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)


class ReleaseRow(Base):
    """A release of a project: `version` as it was first spelled, `version_key` what 1.0 and 1.0.0 share."""

    __tablename__ = "releases"
    __table_args__ = (UniqueConstraint("project_id", "version_key"), NEVER_REUSED)

    id: Mapped[RowId]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    version: Mapped[str]
    version_key: Mapped[str]
    yanked_at: Mapped[datetime | None]
    yanked_reason: Mapped[str | None]
    created_at: Mapped[datetime]


class FileRow(Base):
    """A distribution file. Its bytes lie in the blobs by `sha256`, or elsewhere at `external_url`."""

    __tablename__ = "files"
    __table_args__ = (
        UniqueConstraint("source_id", "filename"),
        UniqueConstraint("source_id", "identity"),
        one_of("state", FileState),
        one_of("packagetype", ("bdist_wheel", "sdist")),
        CheckConstraint("size >= 0", name="size"),
        Index(None, "project_id"),
        Index(None, "release_id"),
        Index(None, "sha256"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    release_id: Mapped[int] = mapped_column(ForeignKey("releases.id"))
    filename: Mapped[str]
    identity: Mapped[str]
    packagetype: Mapped[str]
    python_tag: Mapped[str]
    sha256: Mapped[str]
    md5: Mapped[str]
    blake2_256: Mapped[str]
    size: Mapped[int]
    requires_python: Mapped[str | None]
    metadata_sha256: Mapped[str | None]
    core_metadata: Mapped[JsonObject]
    uploader: Mapped[str]
    token_id: Mapped[str | None]
    user_agent: Mapped[str | None]
    comment: Mapped[str | None]
    publisher: Mapped[JsonObject | None]
    external_url: Mapped[str | None]
    state: Mapped[str]
    state_changed_at: Mapped[datetime]
    received_at: Mapped[datetime]
    uploaded_at: Mapped[datetime]


class EventRow(Base):
    """Something that was done, by value. Append-only by trigger."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "source", "project"), NEVER_REUSED)

    id: Mapped[RowId]
    at: Mapped[datetime]
    source: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    project: Mapped[str]
    version: Mapped[str | None]
    filename: Mapped[str | None]
    sha256: Mapped[str | None]
    detail: Mapped[str | None]


class AccountRow(Base):
    """Somebody who uploads."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("name"), NEVER_REUSED)

    id: Mapped[RowId]
    name: Mapped[str]
    created_at: Mapped[datetime]


class UploadTokenRow(Base):
    """What is known of a token. Its secret is derived, never stored: nobody who reads this can upload."""

    __tablename__ = "upload_tokens"
    __table_args__ = (Index(None, "account_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    description: Mapped[str]
    projects: Mapped[JsonList]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
