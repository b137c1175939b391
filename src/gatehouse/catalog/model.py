"""The nouns of the catalog, as frozen values. Storage keeps them, the gate moves them from state to state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

#: The source of what is uploaded to this index itself (the contract's word for "which index").
LOCAL_SOURCE = "local"


class FileState(StrEnum):
    """Where a file stands on its way through the gate."""

    ACCEPTED = "accepted"  # stored, not yet let onto the pages
    PUBLISHED = "published"  # its target changes are in the journal
    HELD = "held"  # kept off pages and out of TUF until a person decides
    REMOVED = "removed"  # taken out by a decision
    DELETED = "deleted"  # taken out by its owner; the filename stays used for ever


class ProjectStatus(StrEnum):
    """The status markers of PEP 792."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    QUARANTINED = "quarantined"
    DEPRECATED = "deprecated"

    @property
    def takes_uploads(self) -> bool:
        """PEP 792: an archived or quarantined project takes no new file."""
        return self in (ProjectStatus.ACTIVE, ProjectStatus.DEPRECATED)

    @property
    def offers_files(self) -> bool:
        """PEP 792: a quarantined project's page lists no file."""
        return self is not ProjectStatus.QUARANTINED


PackageType = Literal["bdist_wheel", "sdist"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project: `name` is normalized, `display_name` is as its first upload spelled it."""

    id: int
    source: str
    name: str
    display_name: str
    status: ProjectStatus
    status_reason: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release: `version` is in the canonical form of `packaging`."""

    id: int
    project_id: int
    version: str
    created_at: datetime
    yanked_at: datetime | None
    yanked_reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    """A file about to enter the catalog.

    `identity` is what two spellings of one distribution share (kind, normalized name, version, build, tags);
    it is unique in a source, as the filename is. `core_metadata` is the distribution's own, as
    `packaging.metadata.RawMetadata`. `external_url` is set when the bytes lie elsewhere and only the URL and
    the digest are ours. `publisher` describes a trusted publisher when the index knows one.
    """

    project_id: int
    release_id: int
    filename: str
    identity: str
    packagetype: PackageType
    python_tag: str
    sha256: str
    md5: str
    blake2_256: str
    size: int
    requires_python: str | None
    metadata_sha256: str | None
    core_metadata: dict[str, Any]
    uploader: str
    received_at: datetime
    token_id: str | None = None
    user_agent: str | None = None
    comment: str | None = None
    publisher: dict[str, Any] | None = None
    external_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file in the catalog, with the names of what it belongs to."""

    id: int
    project: str
    version: str
    filename: str
    identity: str
    packagetype: PackageType
    sha256: str
    size: int
    metadata_sha256: str | None
    external_url: str | None
    state: FileState
    uploader: str
    received_at: datetime
    uploaded_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFile:
    """What a simple page says of a file (PEP 503, 592, 658, 700, 714)."""

    filename: str
    version: str
    sha256: str
    size: int
    uploaded_at: datetime
    requires_python: str | None = None
    metadata_sha256: str | None = None
    yanked: bool = False
    yanked_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectPage:
    """All that a project's simple pages are rendered from."""

    name: str
    status: ProjectStatus = ProjectStatus.ACTIVE
    status_reason: str | None = None
    files: tuple[PageFile, ...] = field(default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedPage:
    """The blob that is a project's simple page now: the one whose timestamp has moved."""

    sha256: str
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that somebody did to the catalog. Appended, never changed; it holds its subject by value."""

    at: datetime
    actor: str
    action: str
    project: str
    version: str | None = None
    filename: str | None = None
    sha256: str | None = None
    detail: str | None = None
