"""The story of dead letters: work that failed for good, seen, tried again, or given up by a person.

What is given up is in the audit log, with its reason. A file that waits for its screening is never given up: it
would stay as it is for ever, published unscreened where the operator lets files in first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gatehouse.catalog.model import File, FileState
from gatehouse.core.clock import Clock
from gatehouse.core.errors import Conflict, NotFound
from gatehouse.gate.accept import SCREEN_FILE
from gatehouse.gate.ports import AuditEntry, Database, DeadLetter, Transaction

PAGE = 50
_WAITS = frozenset({FileState.ACCEPTED, FileState.PUBLISHED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A dead letter, and the file that it is about, where it is about one that the catalog has."""

    letter: DeadLetter
    file: File | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """Reads dead letters, revives and drops them. Safe to use from many threads."""

    database: Database
    clock: Clock

    def waiting(self) -> dict[str, int]:
        """How many messages wait or are worked on, by topic."""
        with self.database.read() as transaction:
            return transaction.outbox.count_waiting()

    def list(self, *, limit: int = PAGE, offset: int = 0) -> tuple[Letter, ...]:
        """Dead letters, the oldest first."""
        with self.database.read() as transaction:
            found = transaction.outbox.dead(limit=limit, offset=offset)
            return tuple(Letter(letter=each, file=_file(transaction, each)) for each in found)

    def retry(self, message_id: int, *, actor: str) -> None:
        """Have one worked on again, with as many attempts as a new one.

        Raises:
            NotFound: there is no dead letter of that number.
        """
        now = self.clock.now()
        with self.database.write() as transaction:
            letter = _letter(transaction, message_id)
            transaction.outbox.revive(message_id, at=now)
            transaction.audit.append(_entry(letter, actor, "outbox-retry", at=now))

    def drop(self, message_id: int, *, actor: str, reason: str) -> None:
        """Give one up for good.

        Raises:
            NotFound: there is no dead letter of that number.
            Conflict: it is the screening of a file that waits for it, or that is published.
        """
        now = self.clock.now()
        with self.database.write() as transaction:
            letter = _letter(transaction, message_id)
            file = _file(transaction, letter)
            if letter.message.topic == SCREEN_FILE and file is not None and file.state in _WAITS:
                raise Conflict(
                    f"Message {message_id} is the screening of {file.filename!r}, which is {file.state.value}: "
                    "retry it, or take the file out first."
                )
            transaction.outbox.drop(message_id)
            transaction.audit.append(_entry(letter, actor, "outbox-drop", at=now, reason=reason))


def _letter(transaction: Transaction, message_id: int) -> DeadLetter:
    letter = transaction.outbox.dead_letter(message_id)
    if letter is None:
        raise NotFound(f"There is no dead letter with the number {message_id}.")
    return letter


def _file(transaction: Transaction, letter: DeadLetter) -> File | None:
    file_id = letter.message.payload.get("file_id")
    files = transaction.catalog.get_files([file_id]) if isinstance(file_id, int) else []
    return files[0] if files else None


def _entry(letter: DeadLetter, actor: str, action: str, *, at: datetime, reason: str = "") -> AuditEntry:
    message = letter.message
    detail = {
        "message": message.id,
        "topic": message.topic,
        "payload": dict(message.payload),
        "error": letter.error,
    }
    return AuditEntry(at=at, actor=actor, action=action, detail=detail | ({"reason": reason} if reason else {}))
