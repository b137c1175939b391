"""What the stories ask of the catalog: projects, releases and files of the local source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

from gatehouse.catalog.model import (
    Event,
    File,
    FileState,
    NewFile,
    PageFile,
    Project,
    ProjectStatus,
    Release,
    ServedPage,
)
from gatehouse.core.names import PageFormat


class CatalogStore(Protocol):
    """Projects, releases, files of the local source."""

    def find_project(self, name: str, *, lock: bool = False) -> Project | None:
        """A project by normalized name; with `lock`, nobody else changes it until this transaction ends."""
        ...

    def add_project(self, *, name: str, display_name: str, at: datetime) -> Project:
        """A new project, locked. If another transaction added it meanwhile, that one, locked."""
        ...

    def set_project_status(self, project_id: int, status: ProjectStatus, reason: str | None) -> None:
        """Change a project's PEP 792 status."""
        ...

    def find_release(self, project_id: int, version: str) -> Release | None:
        """A release by any spelling of its version: 1.0 and 1.0.0 are one."""
        ...

    def add_release(self, project_id: int, version: str, *, at: datetime) -> Release:
        """A new release of a locked project."""
        ...

    def set_yanked(self, release_id: int, *, at: datetime | None, reason: str | None) -> None:
        """Yank a release (PEP 592), or with `at=None` take the yank back."""
        ...

    def find_file(self, filename: str) -> File | None:
        """A file by filename, whatever its state."""
        ...

    def find_file_by_identity(self, identity: str) -> File | None:
        """A file by the identity that its spellings share, whatever its state."""
        ...

    def get_files(self, ids: Collection[int]) -> list[File]:
        """Files by id, in the order of their ids; unknown ids are left out."""
        ...

    def files_of(self, project_id: int, *, version: str | None = None) -> list[File]:
        """All files of a project (or of one release), whatever their state, in the order of their ids."""
        ...

    def add_file(self, file: NewFile, *, at: datetime) -> File:
        """A new file in state `accepted`. `at` becomes its `uploaded_at`."""
        ...

    def core_metadata(self, file_id: int) -> dict[str, Any]:
        """A file's own core metadata, as `packaging.metadata.RawMetadata`.

        Raises:
            NotFound: there is no such file.
        """
        ...

    def set_file_state(self, ids: Collection[int], state: FileState, *, at: datetime) -> None:
        """Move files to a state."""
        ...

    def page_files(self, project_id: int) -> list[PageFile]:
        """What the project's pages list: its files in state `published`."""
        ...

    def served_page(self, name: str, page: PageFormat) -> ServedPage | None:
        """The page that is served now, or None if the project has none."""
        ...

    def set_served_page(self, name: str, page: PageFormat, served: ServedPage | None) -> None:
        """Serve this blob as the project's page from now on; None: the project has no page."""
        ...

    def set_served_pages(self, pages: Mapping[tuple[str, PageFormat], ServedPage | None]) -> None:
        """Serve these blobs as pages from now on, by project and format; None: the project has no such page.

        A project that is not in this catalog is no matter: its pages are another's to serve.
        """
        ...

    def served_projects(self) -> list[str]:
        """The normalized names of all projects that have a page, sorted."""
        ...

    def record(self, event: Event) -> None:
        """Append an event."""
        ...
