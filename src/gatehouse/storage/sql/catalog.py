"""The catalog in SQL: implements `gate.ports.CatalogStore` for one source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, cast

from packaging.utils import canonicalize_version
from sqlalchemy import Connection, Row, Select, bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError

from gatehouse.catalog.model import (
    Event,
    File,
    FileState,
    NewFile,
    PackageType,
    PageFile,
    Project,
    ProjectStatus,
    Release,
    ServedPage,
)
from gatehouse.core.errors import Conflict, InternalError, NotFound
from gatehouse.core.names import PageFormat
from gatehouse.storage.sql.models import EventRow, FileRow, ProjectRow, ReleaseRow, SourceRow
from gatehouse.storage.sql.statements import insert, pieces

_PAGE_COLUMNS = {
    "html": (ProjectRow.html_sha256, ProjectRow.html_length),
    "json": (ProjectRow.json_sha256, ProjectRow.json_length),
}
_FILE = (
    FileRow.id,
    ProjectRow.name,
    ReleaseRow.version,
    FileRow.filename,
    FileRow.identity,
    FileRow.packagetype,
    FileRow.sha256,
    FileRow.size,
    FileRow.metadata_sha256,
    FileRow.external_url,
    FileRow.state,
    FileRow.uploader,
    FileRow.received_at,
    FileRow.uploaded_at,
)


class SqlCatalog:
    """Projects, releases and files of one source, in one transaction."""

    def __init__(self, connection: Connection, *, source: str) -> None:
        self._connection = connection
        self._source = source
        self._known_source_id: int | None = None

    def find_project(self, name: str, *, lock: bool = False) -> Project | None:
        """A project by normalized name, locked if asked."""
        query = self._projects().where(ProjectRow.name == name)
        if lock:
            # SQLite needs none: its writers come one at a time.
            query = query.with_for_update(of=ProjectRow)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else self._project(row)

    def add_project(self, *, name: str, display_name: str, at: datetime) -> Project:
        """A new project, locked; the other's, locked, if another transaction was faster."""
        statement = insert(self._connection, ProjectRow).values(
            source_id=self._source_id(),
            name=name,
            display_name=display_name,
            status=ProjectStatus.ACTIVE,
            created_at=at,
        )
        # An insert of the same name elsewhere makes this one wait for that commit, and then do nothing.
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["source_id", "name"]))
        project = self.find_project(name, lock=True)
        if project is None:
            raise InternalError(f"Project {name!r} was neither added nor there.")
        return project

    def set_project_status(self, project_id: int, status: ProjectStatus, reason: str | None) -> None:
        """Change a project's status."""
        self._connection.execute(
            update(ProjectRow).where(ProjectRow.id == project_id).values(status=status, status_reason=reason)
        )

    def find_release(self, project_id: int, version: str) -> Release | None:
        """A release by any spelling of its version."""
        row = self._connection.execute(
            select(
                ReleaseRow.id,
                ReleaseRow.project_id,
                ReleaseRow.version,
                ReleaseRow.created_at,
                ReleaseRow.yanked_at,
                ReleaseRow.yanked_reason,
            ).where(ReleaseRow.project_id == project_id, ReleaseRow.version_key == _version_key(version))
        ).one_or_none()
        return None if row is None else Release(**row._asdict())

    def add_release(self, project_id: int, version: str, *, at: datetime) -> Release:
        """A new release.

        Raises:
            Conflict: the project has it.
        """
        try:
            self._connection.execute(
                insert(self._connection, ReleaseRow).values(
                    project_id=project_id, version=version, version_key=_version_key(version), created_at=at
                )
            )
        except IntegrityError as error:
            raise Conflict(f"Release {version} exists.") from error
        release = self.find_release(project_id, version)
        if release is None:
            raise InternalError(f"Release {version!r} was not kept.")
        return release

    def set_yanked(self, release_id: int, *, at: datetime | None, reason: str | None) -> None:
        """Yank a release, or take the yank back."""
        self._connection.execute(
            update(ReleaseRow).where(ReleaseRow.id == release_id).values(yanked_at=at, yanked_reason=reason)
        )

    def find_file(self, filename: str) -> File | None:
        """A file by filename, whatever its state."""
        row = self._connection.execute(self._files().where(FileRow.filename == filename)).one_or_none()
        return None if row is None else _file(row)

    def find_file_by_identity(self, identity: str) -> File | None:
        """A file by identity, whatever its state."""
        row = self._connection.execute(self._files().where(FileRow.identity == identity)).one_or_none()
        return None if row is None else _file(row)

    def get_files(self, ids: Collection[int]) -> list[File]:
        """Files by id, in the order of their ids."""
        return [
            _file(row)
            for piece in pieces(sorted(set(ids)))
            for row in self._connection.execute(self._files().where(FileRow.id.in_(piece)).order_by(FileRow.id))
        ]

    def files_of(self, project_id: int, *, version: str | None = None) -> list[File]:
        """All files of a project or of one release, in the order of their ids."""
        query = self._files().where(FileRow.project_id == project_id).order_by(FileRow.id)
        if version is not None:
            query = query.where(ReleaseRow.version_key == _version_key(version))
        return [_file(row) for row in self._connection.execute(query)]

    def add_file(self, file: NewFile, *, at: datetime) -> File:
        """A new file in state `accepted`.

        Raises:
            Conflict: its filename or its identity is used.
        """
        try:
            self._connection.execute(
                insert(self._connection, FileRow).values(
                    source_id=self._source_id(),
                    project_id=file.project_id,
                    release_id=file.release_id,
                    filename=file.filename,
                    identity=file.identity,
                    packagetype=file.packagetype,
                    python_tag=file.python_tag,
                    sha256=file.sha256,
                    md5=file.md5,
                    blake2_256=file.blake2_256,
                    size=file.size,
                    requires_python=file.requires_python,
                    metadata_sha256=file.metadata_sha256,
                    core_metadata=file.core_metadata,
                    uploader=file.uploader,
                    token_id=file.token_id,
                    user_agent=file.user_agent,
                    comment=file.comment,
                    publisher=file.publisher,
                    external_url=file.external_url,
                    state=FileState.ACCEPTED,
                    state_changed_at=at,
                    received_at=file.received_at,
                    uploaded_at=at,
                )
            )
        except IntegrityError as error:
            raise Conflict(f"The filename {file.filename!r}, or another spelling of it, is used.") from error
        added = self.find_file(file.filename)
        if added is None:
            raise InternalError(f"File {file.filename!r} was not kept.")
        return added

    def core_metadata(self, file_id: int) -> dict[str, Any]:
        """A file's own core metadata."""
        row = self._connection.execute(select(FileRow.core_metadata).where(FileRow.id == file_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no file {file_id}.")
        metadata: dict[str, Any] = row.core_metadata
        return metadata

    def set_file_state(self, ids: Collection[int], state: FileState, *, at: datetime) -> None:
        """Move files to a state."""
        for piece in pieces(sorted(set(ids))):
            self._connection.execute(
                update(FileRow).where(FileRow.id.in_(piece)).values(state=state, state_changed_at=at)
            )

    def page_files(self, project_id: int) -> list[PageFile]:
        """The files in state `published`, in the order of their ids."""
        rows = self._connection.execute(
            select(
                FileRow.filename,
                ReleaseRow.version,
                FileRow.sha256,
                FileRow.size,
                FileRow.uploaded_at,
                FileRow.requires_python,
                FileRow.metadata_sha256,
                ReleaseRow.yanked_at,
                ReleaseRow.yanked_reason,
            )
            .join(ReleaseRow, ReleaseRow.id == FileRow.release_id)
            .where(FileRow.project_id == project_id, FileRow.state == FileState.PUBLISHED)
            .order_by(FileRow.id)
        )
        return [
            PageFile(
                filename=row.filename,
                version=row.version,
                sha256=row.sha256,
                size=row.size,
                uploaded_at=row.uploaded_at,
                requires_python=row.requires_python,
                metadata_sha256=row.metadata_sha256,
                yanked=row.yanked_at is not None,
                yanked_reason=row.yanked_reason,
            )
            for row in rows
        ]

    def served_page(self, name: str, page: PageFormat) -> ServedPage | None:
        """The page that is served now."""
        sha256, length = _PAGE_COLUMNS[page]
        row = self._connection.execute(
            select(sha256, length).where(ProjectRow.source_id == self._source_id(), ProjectRow.name == name)
        ).one_or_none()
        if row is None or row[0] is None or row[1] is None:
            return None
        return ServedPage(sha256=row[0], length=row[1])

    def set_served_page(self, name: str, page: PageFormat, served: ServedPage | None) -> None:
        """Serve this blob as the project's page, or none.

        Raises:
            InternalError: there is a page to serve and no such project.
        """
        sha256, length = _PAGE_COLUMNS[page]
        changed = self._connection.execute(
            update(ProjectRow)
            .where(ProjectRow.source_id == self._source_id(), ProjectRow.name == name)
            .values({sha256: served and served.sha256, length: served and served.length})
        )
        if served is not None and changed.rowcount != 1:
            raise InternalError(f"There is no project {name!r} to serve a page of.")

    def set_served_pages(self, pages: Mapping[tuple[str, PageFormat], ServedPage | None]) -> None:
        """Serve these blobs as pages, or none, by project and format; another catalog's projects are no matter."""
        for page, (sha256, length) in _PAGE_COLUMNS.items():
            rows = [
                {"project": name, "digest": served and served.sha256, "bytes": served and served.length}
                for (name, wanted), served in sorted(pages.items(), key=lambda item: item[0])
                if wanted == page
            ]
            if rows:
                self._connection.execute(
                    update(ProjectRow)
                    .where(ProjectRow.source_id == self._source_id(), ProjectRow.name == bindparam("project"))
                    .values({sha256: bindparam("digest"), length: bindparam("bytes")}),
                    rows,
                )

    def served_projects(self) -> list[str]:
        """The names of all projects that have a page, sorted."""
        query = (
            select(ProjectRow.name)
            .where(
                ProjectRow.source_id == self._source_id(),
                or_(ProjectRow.html_sha256.is_not(None), ProjectRow.json_sha256.is_not(None)),
            )
            .order_by(ProjectRow.name)
        )
        return list(self._connection.scalars(query))

    def record(self, event: Event) -> None:
        """Append an event."""
        self._connection.execute(
            insert(self._connection, EventRow).values(
                at=event.at,
                source=self._source,
                actor=event.actor,
                action=event.action,
                project=event.project,
                version=event.version,
                filename=event.filename,
                sha256=event.sha256,
                detail=event.detail,
            )
        )

    def _source_id(self) -> int:
        if self._known_source_id is None:
            found = self._connection.scalar(select(SourceRow.id).where(SourceRow.name == self._source))
            if found is None:
                raise InternalError(f"The database knows no source {self._source!r}.")
            self._known_source_id = found
        return self._known_source_id

    def _projects(self) -> Select[*tuple[Any, ...]]:
        return select(
            ProjectRow.id,
            ProjectRow.name,
            ProjectRow.display_name,
            ProjectRow.status,
            ProjectRow.status_reason,
            ProjectRow.created_at,
        ).where(ProjectRow.source_id == self._source_id())

    def _project(self, row: Row[*tuple[Any, ...]]) -> Project:
        return Project(
            id=row.id,
            source=self._source,
            name=row.name,
            display_name=row.display_name,
            status=ProjectStatus(row.status),
            status_reason=row.status_reason,
            created_at=row.created_at,
        )

    def _files(self) -> Select[*tuple[Any, ...]]:
        return (
            select(*_FILE)
            .join(ProjectRow, ProjectRow.id == FileRow.project_id)
            .join(ReleaseRow, ReleaseRow.id == FileRow.release_id)
            .where(FileRow.source_id == self._source_id())
        )


def _file(row: Row[*tuple[Any, ...]]) -> File:
    return File(
        id=row.id,
        project=row.name,
        version=row.version,
        filename=row.filename,
        identity=row.identity,
        packagetype=cast("PackageType", row.packagetype),
        sha256=row.sha256,
        size=row.size,
        metadata_sha256=row.metadata_sha256,
        external_url=row.external_url,
        state=FileState(row.state),
        uploader=row.uploader,
        received_at=row.received_at,
        uploaded_at=row.uploaded_at,
    )


def _version_key(version: str) -> str:
    """What the spellings of a version share: 1.0 and 1.0.0 are one release."""
    return canonicalize_version(version)
