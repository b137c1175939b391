"""The story of a project's owners: who comes and who leaves, each with its event.

The events are what checks of the index read: a change of hands that is not written down has not been seen by
anybody. The last owner cannot be taken away, because a project that nobody may upload to, or delete, is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatehouse.catalog.model import Event, Project
from gatehouse.core.clock import Clock
from gatehouse.core.errors import Conflict, NotFound
from gatehouse.core.names import normalize_name
from gatehouse.gate.ports import Account, AuditEntry, Database, Transaction
from gatehouse.gate.ports.accounts import OWNER_ADDED, OWNER_REMOVED


@dataclass(frozen=True, kw_only=True, slots=True)
class Owners:
    """Reads and changes who owns what."""

    database: Database
    clock: Clock

    def of(self, project: str) -> list[Account]:
        """Who owns a project, by name.

        Raises:
            InvalidName, NotFound: it cannot be a project's name, or there is no such project.
        """
        with self.database.read() as transaction:
            return transaction.accounts.owners_of(_project(transaction, project).id)

    def add(self, project: str, account: str, *, actor: str) -> None:
        """Make an account an owner.

        Raises:
            InvalidName, NotFound: there is no such project, or no such account.
            Conflict: it is one already.
        """
        with self.database.write() as transaction:
            found, member = _both(transaction, project, account)
            if transaction.accounts.owns(member.id, found.id):
                raise Conflict(f"{account!r} owns {found.name!r} already.")
            transaction.accounts.add_owner(member.id, found.id)
            self._record(transaction, found, member, OWNER_ADDED, actor)

    def remove(self, project: str, account: str, *, actor: str) -> None:
        """Let an account be no owner any more.

        Raises:
            InvalidName, NotFound: there is no such project, or no such account.
            Conflict: it is none, or the last.
        """
        with self.database.write() as transaction:
            found, member = _both(transaction, project, account)
            owners = transaction.accounts.owners_of(found.id)
            if member not in owners:
                raise Conflict(f"{account!r} does not own {found.name!r}.")
            if len(owners) == 1:
                raise Conflict(f"{account!r} is the last owner of {found.name!r}: add another one first.")
            transaction.accounts.remove_owner(member.id, found.id)
            self._record(transaction, found, member, OWNER_REMOVED, actor)

    def _record(
        self, transaction: Transaction, project: Project, account: Account, action: str, actor: str
    ) -> None:
        now = self.clock.now()
        transaction.catalog.record(
            Event(at=now, actor=actor, action=action, project=project.name, detail=account.name)
        )
        transaction.audit.append(
            AuditEntry(
                at=now, actor=actor, action=action, detail={"project": project.name, "account": account.name}
            )
        )


def _project(transaction: Transaction, name: str, *, lock: bool = False) -> Project:
    found = transaction.catalog.find_project(normalize_name(name.strip()), lock=lock)
    if found is None:
        raise NotFound(f"There is no project {name!r}.")
    return found


def _both(transaction: Transaction, project: str, account: str) -> tuple[Project, Account]:
    """The project, locked, and the account."""
    found = _project(transaction, project, lock=True)
    member = transaction.accounts.find_account(account)
    if member is None:
        raise NotFound(f"There is no account {account!r}: `gatehouse token create --account` makes one.")
    return found, member
