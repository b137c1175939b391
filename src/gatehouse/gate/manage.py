"""What an owner may do with a project: yank (PEP 592), delete, set its status (PEP 792).

Each story locks the project, changes the catalog, renders the pages anew and appends the target changes, in
one transaction. Nothing is effective for clients before the next publication, and then all of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from packaging.version import Version

from gatehouse.catalog.model import Event, File, FileState, Project, ProjectStatus, Release
from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, NotFound
from gatehouse.core.names import normalize_name
from gatehouse.gate.authorize import Authority, require_owner
from gatehouse.gate.ports import Database, Transaction
from gatehouse.gate.transitions import Transitions

#: What an owner may make of a project; quarantine is for the index's own people.
OWNER_STATUSES = (ProjectStatus.ACTIVE, ProjectStatus.ARCHIVED, ProjectStatus.DEPRECATED)
MAX_REASON = 500
_PRESENT = frozenset({FileState.ACCEPTED, FileState.PUBLISHED, FileState.HELD})


@dataclass(frozen=True, kw_only=True, slots=True)
class Manage:
    """An owner's acts. `ring` tells the publisher that the journal has grown."""

    database: Database
    clock: Clock
    transitions: Transitions
    ring: Callable[[], None]

    def yank(self, authority: Authority, project: str, version: str, reason: str | None = None) -> None:
        """Yank a release: installers pass over it unless it is pinned."""
        reason = _checked_reason(reason)
        with self._act(authority, project, "yank", version=version, detail=reason) as act:
            act.transaction.catalog.set_yanked(act.release(version).id, at=act.now, reason=reason)

    def unyank(self, authority: Authority, project: str, version: str) -> None:
        """Take a yank back."""
        with self._act(authority, project, "unyank", version=version) as act:
            act.transaction.catalog.set_yanked(act.release(version).id, at=None, reason=None)

    def set_status(self, authority: Authority, project: str, status: str, reason: str | None = None) -> None:
        """Set the project's status marker."""
        reason = _checked_reason(reason)
        if status not in OWNER_STATUSES:
            allowed = ", ".join(OWNER_STATUSES)
            raise CallerError(f"Unknown status {status[:40]!r}: an owner may choose one of {allowed}.")
        with self._act(authority, project, f"status:{status}", detail=reason) as act:
            if act.project.status is ProjectStatus.QUARANTINED:
                raise CallerError("The project is in quarantine; its owner cannot change that.")
            act.transaction.catalog.set_project_status(act.project.id, ProjectStatus(status), reason)

    def delete_file(self, authority: Authority, project: str, version: str, filename: str) -> None:
        """Delete one file. Its filename stays used for ever."""
        with self._act(authority, project, "delete-file", version=version, filename=filename) as act:
            release = act.release(version)
            act.delete(
                [file for file in act.files(release) if file.filename == filename], f"file {filename[:190]!r}"
            )

    def delete_release(self, authority: Authority, project: str, version: str) -> None:
        """Delete all files of a release."""
        with self._act(authority, project, "delete-release", version=version) as act:
            release = act.release(version)
            act.delete(act.files(release), f"file in version {release.version!r}")

    def delete_project(self, authority: Authority, project: str) -> None:
        """Delete all files of a project, and its pages. The name stays its owner's."""
        with self._act(authority, project, "delete-project") as act:
            act.delete(act.files(None), "file")
            act.without_pages = True

    @contextmanager
    def _act(
        self,
        authority: Authority,
        name: str,
        action: str,
        *,
        version: str | None = None,
        filename: str | None = None,
        detail: str | None = None,
    ) -> Iterator[_Act]:
        name = normalize_name(name)
        now = self.clock.now()
        with self.database.write() as transaction:
            project = transaction.catalog.find_project(name, lock=True)
            if project is None:
                raise NotFound(f"There is no project {name!r}.")
            owns = transaction.accounts.owns(authority.account.id, project.id)
            require_owner(authority, name, owns=owns)
            act = _Act(transaction, self.transitions, project, now)
            yield act
            # What the act changed is on the pages before the transaction ends.
            project = transaction.catalog.find_project(name) or project
            if act.without_pages:
                self.transitions.take_pages_away(transaction, project, at=now)
            elif _is_visible(transaction, project):
                self.transitions.refresh(transaction, project, at=now)
            transaction.catalog.record(
                Event(
                    at=now,
                    actor=authority.account.name,
                    action=action,
                    project=name,
                    version=version,
                    filename=filename,
                    detail=detail,
                )
            )
        self.ring()


class _Act:
    """One act under way on a locked project."""

    def __init__(
        self, transaction: Transaction, transitions: Transitions, project: Project, now: datetime
    ) -> None:
        self.transaction = transaction
        self.transitions = transitions
        self.project = project
        self.now = now
        self.without_pages = False

    def release(self, version: str) -> Release:
        try:
            canonical = str(Version(version))
        except ValueError as error:
            # InvalidVersion is one; a number of more digits than Python reads is another.
            raise CallerError(f"Invalid version {version[:80]!r}.") from error
        release = self.transaction.catalog.find_release(self.project.id, canonical)
        if release is None:
            raise NotFound(f"There is no version {canonical[:80]!r} of {self.project.name!r}.")
        return release

    def files(self, release: Release | None) -> list[File]:
        version = None if release is None else release.version
        return self.transaction.catalog.files_of(self.project.id, version=version)

    def delete(self, files: list[File], what: str) -> None:
        ids = [file.id for file in files]
        deleted = self.transitions.move(
            self.transaction, ids, FileState.DELETED, leaving=_PRESENT, at=self.now, cause="deleted"
        )
        if not deleted:
            raise NotFound(f"There is no {what} of {self.project.name!r} to delete.")


def _is_visible(transaction: Transaction, project: Project) -> bool:
    """Whether there is a page to render anew: what is held must not get one, with its owner's words on it."""
    served = transaction.catalog.served_page(project.name, "html")
    return served is not None or bool(transaction.catalog.page_files(project.id))


def _checked_reason(reason: str | None) -> str | None:
    if reason is None or not reason.strip():
        return None
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise CallerError(f"A reason has at most {MAX_REASON} printable characters on one line.")
    return reason.strip()
