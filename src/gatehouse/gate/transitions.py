"""Moving files from state to state, and saying so on the pages and in the journal of target changes.

The rule that every story relies on: a file that enters `published` becomes a target, one that leaves it stops
being one, and its project's pages are rendered anew in the same transaction. What moves between other states
moves no page, so that a project of which nothing was ever published has none. Clients see none of it before the
next publication, and then all of it.

One thing does not wait for a publication: the bytes of a file that leaves `published` are handed out no more once
the transaction is committed, and the caches in front are told at once, by the outbox.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import get_args

from gatehouse.catalog.model import File, FileState, Project, ProjectPage
from gatehouse.catalog.pages import render_page
from gatehouse.core.errors import InternalError
from gatehouse.core.names import PageFormat, file_target, page_target
from gatehouse.gate.ports import Blobs, Transaction
from gatehouse.gate.purge import Purges, files_key, project_key
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import Target, TargetChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Transitions:
    """Moves files and keeps pages and journal in step. `purges` tells the caches what goes."""

    blobs: Blobs
    trust: Trust
    purges: Purges = field(default_factory=Purges)

    def move(
        self,
        transaction: Transaction,
        file_ids: Collection[int],
        to: FileState,
        *,
        leaving: Collection[FileState],
        at: datetime,
        cause: str,
    ) -> list[File]:
        """Move files that are in one of the states `leaving`; others stay as they are.

        Args:
            transaction: where all of it happens or nothing.
            file_ids: which files; they may belong to several projects.
            to: the new state.
            leaving: the states that a file may come from.
            at: the moment.
            cause: a word for the journal.

        Returns:
            The files that moved, as they were before.
        """
        moved: list[File] = []
        files = transaction.catalog.get_files(file_ids)
        # Projects are locked in the order of their names, so that two transactions cannot wait for each other.
        for name, group in groupby(sorted(files, key=_by_project), key=lambda file: file.project):
            ids = [file.id for file in group]
            project = transaction.catalog.find_project(name, lock=True)
            if project is None:
                raise InternalError(f"The files of project {name!r} have lost their project.")
            # Read again under the lock: another transaction may have moved them meanwhile.
            mine = [file for file in transaction.catalog.get_files(ids) if file.state in leaving]
            if mine:
                transaction.catalog.set_file_state([file.id for file in mine], to, at=at)
                if to is FileState.PUBLISHED or any(file.state is FileState.PUBLISHED for file in mine):
                    self.refresh(transaction, project, at=at, changes=_target_changes(mine, to, cause))
                if any(file.state is FileState.PUBLISHED for file in mine):
                    self.purges.announce(transaction, [files_key(name), project_key(name)], at=at)
                moved += mine
        return moved

    def refresh(
        self, transaction: Transaction, project: Project, *, at: datetime, changes: Sequence[TargetChange] = ()
    ) -> None:
        """Render both pages of a locked project anew, and journal them behind other changes.

        The blobs are durable before the transaction commits: a crash in between leaves blobs that nothing names,
        never a name without its blob.
        """
        page = ProjectPage(
            name=project.name,
            status=project.status,
            status_reason=project.status_reason,
            files=tuple(transaction.catalog.page_files(project.id)),
        )
        pages = []
        for page_format in get_args(PageFormat):
            data = render_page(page, page_format)
            path = page_target(project.name, page_format)
            target = Target(path=path, sha256=self.blobs.put(data), length=len(data))
            pages.append(TargetChange(path=path, target=target, cause="page"))
        self._journal(transaction, [*changes, *pages], at)

    def take_pages_away(self, transaction: Transaction, project: Project, *, at: datetime) -> None:
        """Let a locked project have no page."""
        changes = [
            TargetChange(path=page_target(project.name, page_format), target=None, cause="page-removed")
            for page_format in get_args(PageFormat)
        ]
        self._journal(transaction, changes, at)

    def _journal(self, transaction: Transaction, changes: Sequence[TargetChange], at: datetime) -> None:
        layout = self.trust.state(transaction).layout
        transaction.journal.append([(layout.bin_of(change.path), change) for change in changes], at=at)


def _target_changes(files: Sequence[File], to: FileState, cause: str) -> list[TargetChange]:
    changes = []
    for file in files:
        path = file_target(file.project, file.filename)
        if to is FileState.PUBLISHED:
            target = Target(path=path, sha256=file.sha256, length=file.size)
            changes.append(TargetChange(path=path, target=target, cause=cause))
        elif file.state is FileState.PUBLISHED:
            changes.append(TargetChange(path=path, target=None, cause=cause))
    return changes


def _by_project(file: File) -> tuple[str, int]:
    return (file.project, file.id)
