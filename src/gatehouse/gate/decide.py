"""The story of a person's decision: hold, let through, remove, restore.

A decision on a project or release holds for every file of it that it can apply to, and each such file gets a
decision of its own, so that its history is whole when read alone. Decision, state, target changes and audit
entry are one transaction; the next publication makes it effective for clients, but for one thing: what is taken
out is handed out no more from that moment on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from gatehouse.catalog.model import Event, File, FileState
from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, Conflict, NotFound
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.keep.sweep import discard
from gatehouse.gate.ports import Action, AuditEntry, Database, Decision, Transaction
from gatehouse.gate.transitions import Transitions
from gatehouse.malware.model import Kind, Subject

MAX_REASON = 2000

#: In which states an action applies to a file, and to which it moves it. Letting a published file through leaves
#: it published, and holding a held one leaves it held: the person has judged, and that is worth recording.
MOVES: dict[Action, tuple[frozenset[FileState], FileState]] = {
    Action.HOLD: (frozenset({FileState.ACCEPTED, FileState.PUBLISHED, FileState.HELD}), FileState.HELD),
    Action.LET_THROUGH: (
        frozenset({FileState.ACCEPTED, FileState.HELD, FileState.PUBLISHED}),
        FileState.PUBLISHED,
    ),
    Action.REMOVE: (frozenset({FileState.ACCEPTED, FileState.PUBLISHED, FileState.HELD}), FileState.REMOVED),
    Action.RESTORE: (frozenset({FileState.REMOVED}), FileState.PUBLISHED),
}
_CAUSES = {
    Action.HOLD: "held",
    Action.LET_THROUGH: "let-through",
    Action.REMOVE: "removed",
    Action.RESTORE: "restored",
}


#: What may be recorded of a subject of which no file is left: its owner deleted it, the judgement still counts.
RECORDED = (Action.LET_THROUGH, Action.REMOVE)


def possible_actions(states: Collection[FileState]) -> tuple[Action, ...]:
    """What a person may decide on a subject whose files are in these states."""
    if all(state is FileState.DELETED for state in states):
        return RECORDED
    return tuple(action for action, (leaving, _) in MOVES.items() if not leaving.isdisjoint(states))


def standing_of(files: Collection[File]) -> str:
    """A digest of which files there are and in which states: what a person who decides has before their eyes."""
    lines = sorted(f"{file.filename} {file.sha256} {file.state.value}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Takes decisions. `ring` tells the publisher that the journal has grown.

    `keep_removed`: the bytes of removed files stay as evidence, and so that a removal can be taken back.
    """

    database: Database
    clock: Clock
    transitions: Transitions
    ring: Callable[[], None]
    keep_removed: bool = True

    def __call__(
        self,
        *,
        actor: str,
        subject: Subject,
        action: Action,
        reason: str,
        remote: str | None = None,
        seen: str | None = None,
    ) -> None:
        """Decide on a subject.

        Args:
            actor: who decides.
            subject: on what.
            action: what.
            reason: why; it is kept for ever.
            remote: from which address, for the audit log.
            seen: the `standing_of` the files that the person saw; None does not compare. An uploader may add a
                file to a release between the look and the decision, and it must not be let through unseen.

        Raises:
            CallerError: there is no reason, or too long a one.
            NotFound: neither the catalog nor any screening knows such a subject.
            Conflict: the action does not apply to any file of it, or the files are not those that were seen.
        """
        decision = self._decision(actor, subject, action, reason)
        with self.database.write() as transaction:
            self._take(transaction, decision, remote=remote, seen=seen)
        self.ring()

    def together(
        self, *, actor: str, files: Sequence[Subject], action: Action, reason: str, remote: str | None = None
    ) -> None:
        """Decide on several files at once, one decision each: on all of them or on none.

        Args:
            actor: who decides.
            files: on which files; each is pinned by its digest, so that nothing else is decided on.
            action: what.
            reason: why, for every one of them; it is kept for ever.
            remote: from which address, for the audit log.

        Raises:
            CallerError: there is no file or something else than files, no reason, or too long a one.
            NotFound: neither the catalog nor any screening knows one of them.
            Conflict: the action does not apply to one of them; the message names it.
        """
        if not files:
            raise CallerError("Choose at least one file.")
        if any(each.kind is not Kind.FILE for each in files):
            # What belongs to a release or project can change under the person's eyes; a file cannot.
            raise CallerError("Only files can be decided on together.")
        # Projects are locked in the order of their names, so that two decisions cannot wait for each other.
        in_order = sorted(set(files), key=lambda each: (each.name, each.filename or ""))
        with self.database.write() as transaction:
            for subject in in_order:
                try:
                    self._take(transaction, self._decision(actor, subject, action, reason), remote=remote)
                except Conflict as error:
                    raise Conflict(f"Nothing was decided, because of {subject.filename}. {error}") from error
        self.ring()

    def _decision(self, actor: str, subject: Subject, action: Action, reason: str) -> Decision:
        reason = reason.strip()
        if not reason or len(reason) > MAX_REASON:
            raise CallerError(f"A decision needs a reason of at most {MAX_REASON} characters.")
        return Decision(subject=subject, actor=actor, action=action, reason=reason, at=self.clock.now())

    def _take(
        self, transaction: Transaction, decision: Decision, *, remote: str | None, seen: str | None = None
    ) -> None:
        subject, action, now = decision.subject, decision.action, decision.at
        files = _files(transaction, subject)
        if action not in possible_actions([file.state for file in files]):
            raise Conflict(f"There is nothing to {action.value.replace('-', ' ')}: {_states(files)}.")
        if seen is not None and seen != standing_of(files):
            raise Conflict("Its files have changed since you looked: open the page again and decide then.")
        leaving, to = MOVES[action]
        affected = [file for file in files if file.state in leaving]
        if action is Action.RESTORE:
            self._require_bytes(affected)
        self.transitions.move(
            transaction,
            [file.id for file in affected],
            to,
            leaving=leaving - {to},
            at=now,
            cause=_CAUSES[action],
        )
        if subject.kind is Kind.PROJECT and action is Action.REMOVE:
            project = transaction.catalog.find_project(subject.name, lock=True)
            if project is not None:
                # Not even its name stays in the list; a restoration renders the pages again.
                self.transitions.take_pages_away(transaction, project, at=now)
        if action is Action.REMOVE and not self.keep_removed:
            deleted = [file for file in files if file.state is FileState.DELETED]
            discard(transaction, _digests([*affected, *deleted]), at=now)
        for each in dict.fromkeys([subject, *map(file_subject, affected)]):
            transaction.screening.decide(replace(decision, subject=each))
        transaction.catalog.record(_event(decision))
        transaction.audit.append(_audit_entry(decision, remote))

    def _require_bytes(self, files: Collection[File]) -> None:
        """Refuse to publish again what was not kept. The project's lock is held: nobody deletes it meanwhile."""
        for file in files:
            if file.external_url is None and self.transitions.blobs.size(file.sha256) is None:
                raise Conflict(f"{file.filename} cannot be restored: bytes of removed files are not kept here.")


def _digests(files: Collection[File]) -> Iterator[str]:
    """The blobs that these files alone may name."""
    for file in files:
        yield file.sha256
        if file.metadata_sha256 is not None:
            yield file.metadata_sha256


def _event(decision: Decision) -> Event:
    subject = decision.subject
    return Event(
        at=decision.at,
        actor=decision.actor,
        action=f"decision:{decision.action.value}",
        project=subject.name,
        version=subject.version,
        filename=subject.filename,
        sha256=subject.sha256,
        detail=decision.reason,
    )


def _audit_entry(decision: Decision, remote: str | None) -> AuditEntry:
    subject = decision.subject
    detail = {
        "kind": subject.kind.value,
        "name": subject.name,
        "version": subject.version,
        "filename": subject.filename,
        "sha256": subject.sha256,
        "reason": decision.reason,
    }
    return AuditEntry(
        at=decision.at,
        actor=decision.actor,
        action=f"decision:{decision.action.value}",
        detail=detail,
        remote=remote,
    )


def _files(transaction: Transaction, subject: Subject) -> list[File]:
    files = []
    project = transaction.catalog.find_project(subject.name, lock=True)
    if project is not None:
        version = None if subject.kind is Kind.PROJECT else subject.version
        files = transaction.catalog.files_of(project.id, version=version)
    if subject.kind is Kind.FILE:
        files = [file for file in files if (file.filename, file.sha256) == (subject.filename, subject.sha256)]
    if not files and transaction.screening.subject_id(subject) is None:
        raise NotFound(f"There is no such {subject.kind.value} of {subject.name!r}.")
    return files


def _states(files: list[File]) -> str:
    states = sorted({file.state.value for file in files}) or ["no longer there"]
    return f"what it has is {' and '.join(states)}"
