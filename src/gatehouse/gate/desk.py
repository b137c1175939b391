"""What a person at the desk reads: what waits, a subject with its evidence, decisions, the audit log.

Each page is one value, read in one transaction, so that what stands on it belongs together. Nothing here
decides; that is `gate.decide`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from gatehouse.catalog.model import LOCAL_SOURCE, File, FileState
from gatehouse.core.errors import NotFound
from gatehouse.core.names import normalize_name
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.decide import possible_actions, standing_of
from gatehouse.gate.ports import (
    Action,
    AuditEntry,
    Database,
    Decision,
    NearCopies,
    ScreeningRecord,
    Transaction,
    Waiting,
)
from gatehouse.malware.model import Finding, Kind, Subject, Tier
from gatehouse.malware.settled import unsettled

PAGE = 50
MAX_PAGE = 10_000
#: How much of a subject's past, and of a project's files, one page shows. What it leaves out it counts.
MAX_SCREENINGS = 20
MAX_FILES = 200

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A subject, and its number if it has ever been screened or decided on."""

    subject: Subject
    id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """What waits: a page of it, and how many there are. Pages count from 1.

    `counts` has the tiers that reach the desk, highest first; `unfinished` counts those that wait only because
    they are INCOMPLETE: what tier they would have reached, nobody knows. `dead_letters` counts work that failed
    for good, which may keep files from ever coming here.
    """

    items: tuple[Waiting, ...]
    counts: Mapping[Tier, int]
    unfinished: int
    page: int
    more: bool
    dead_letters: int

    @property
    def total(self) -> int:
        """How many wait."""
        return sum(self.counts.values()) + self.unfinished


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStanding:
    """A file of the subject as the catalog holds it now."""

    known: Known
    state: FileState
    uploader: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dossier:
    """All that is known of a subject.

    `files` is empty when the catalog holds nothing of it (any more); `actions` are those that can be taken now;
    `near_copies` counts other files of nearly the same code; `settled` are those of the latest findings that a
    person let through in a file of the release, and which only rank; `standing` is what a decision sends back, to
    prove that it was about these files in these states.
    """

    known: Known
    latest: ScreeningRecord | None
    earlier: tuple[ScreeningRecord, ...]
    earlier_left_out: int
    decisions: tuple[Decision, ...]
    files: tuple[FileStanding, ...]
    files_left_out: int
    belongs_to: tuple[Known, ...]
    actions: tuple[Action, ...]
    standing: str
    near_copies: NearCopies
    settled: frozenset[Finding]


@dataclass(frozen=True, kw_only=True, slots=True)
class NearCopy:
    """A file of nearly the same code. Without a state the catalog does not hold it any more."""

    known: Known
    state: FileState | None
    uploader: str | None
    decision: Decision | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """A file, and a page of those of nearly the same code, the newest first. Pages count from 1.

    `actions` are those that can be taken on at least one of them.
    """

    known: Known
    count: NearCopies
    items: tuple[NearCopy, ...]
    actions: tuple[Action, ...]
    page: int
    more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A decision, with its subject's number."""

    decision: Decision
    subject_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPage:
    """A page of the audit log, newest first. Pages count from 1."""

    entries: tuple[AuditEntry, ...]
    page: int
    more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Reads the pages. Safe to use from many threads."""

    database: Database

    def waiting(self, page: int = 1) -> Queue:
        """What waits, highest tier first.

        Raises:
            NotFound: there can be no such page.
        """
        offset = _offset(page)
        with self.database.read() as transaction:
            found = transaction.screening.waiting(limit=PAGE + 1, offset=offset)
            counts = transaction.screening.count_waiting()
            _, dead_letters = transaction.outbox.count()
        items, more = _page_of(found)
        return Queue(
            items=items,
            counts={
                tier: counts[tier] for tier in sorted(counts, reverse=True) if tier >= Tier.QUEUE and counts[tier]
            },
            unfinished=sum(count for tier, count in counts.items() if tier < Tier.QUEUE),
            page=page,
            more=more,
            dead_letters=dead_letters,
        )

    def find(self, name: str) -> int:
        """The number of a project's subject, by any spelling of its name, whether or not it waits.

        Raises:
            InvalidName: this cannot be a project's name.
            NotFound: nothing of a project of that name was ever screened or decided on.
        """
        name = normalize_name(name.strip())
        project = Subject(source=LOCAL_SOURCE, kind=Kind.PROJECT, name=name)
        with self.database.read() as transaction:
            subjects = [project, *map(file_subject, _files(transaction, project))]
            numbers = (transaction.screening.subject_id(subject) for subject in subjects)
            found = next((number for number in numbers if number is not None), None)
        if found is None:
            raise NotFound(f"There is no project {name!r} here.")
        return found

    def subject(self, subject_id: int) -> Subject:
        """A subject by its number.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as transaction:
            return _subject(transaction, subject_id)

    def dossier(self, subject_id: int) -> Dossier:
        """All that is known of a subject.

        Raises:
            NotFound: there is none.
        """
        with self.database.read() as transaction:
            subject = _subject(transaction, subject_id)
            screenings = transaction.screening.screenings(subject, limit=MAX_SCREENINGS + 1)
            total = transaction.screening.count_screenings(subject)
            decisions = transaction.screening.decisions(subject)
            files = _files(transaction, subject)
            standings = tuple(
                FileStanding(
                    known=_known(transaction, file_subject(file)), state=file.state, uploader=file.uploader
                )
                for file in files[:MAX_FILES]
            )
            above = tuple(_known(transaction, each) for each in _above(subject))
            near_copies = transaction.fingerprints.near_copies(subject)
            findings = screenings[0].screened.findings if screenings else ()
            known = (
                transaction.settled.of(subject.release) if findings and subject.kind is Kind.FILE else frozenset()
            )
        possible = possible_actions([file.state for file in files])
        return Dossier(
            known=Known(subject=subject, id=subject_id),
            latest=screenings[0] if screenings else None,
            earlier=tuple(screenings[1 : MAX_SCREENINGS + 1]),
            earlier_left_out=total - len(screenings),
            decisions=tuple(decisions),
            files=standings,
            files_left_out=max(0, len(files) - MAX_FILES),
            belongs_to=tuple(known for known in above if known.id is not None),
            actions=tuple(action for action in Action if action in possible),
            standing=standing_of(files),
            near_copies=near_copies,
            settled=frozenset(findings) - frozenset(unsettled(findings, known)),
        )

    def copies(self, subject_id: int, page: int = 1) -> Copies:
        """The files of nearly the same code as this one.

        Raises:
            NotFound: there is no such subject, or there can be no such page.
        """
        offset = _offset(page)
        with self.database.read() as transaction:
            subject = _subject(transaction, subject_id)
            count = transaction.fingerprints.near_copies(subject)
            found = transaction.fingerprints.list_near_copies(subject, limit=PAGE + 1, offset=offset)
            subjects, more = _page_of(found)
            items = tuple(_near_copy(transaction, each) for each in subjects)
        possible = {action for item in items for action in possible_actions([item.state] if item.state else [])}
        return Copies(
            known=Known(subject=subject, id=subject_id),
            count=count,
            items=items,
            actions=tuple(action for action in Action if action in possible),
            page=page,
            more=more,
        )

    def decisions(self, *, limit: int = 2 * PAGE) -> tuple[Decided, ...]:
        """The newest decisions on anything."""
        with self.database.read() as transaction:
            return tuple(
                Decided(decision=each, subject_id=transaction.screening.subject_id(each.subject))
                for each in transaction.screening.recent_decisions(limit=limit)
            )

    def audit(self, page: int = 1) -> AuditPage:
        """The audit log, newest first.

        Raises:
            NotFound: there can be no such page.
        """
        offset = _offset(page)
        with self.database.read() as transaction:
            entries, more = _page_of(transaction.audit.recent(limit=PAGE + 1, offset=offset))
        return AuditPage(entries=entries, page=page, more=more)


def _offset(page: int) -> int:
    if not 1 <= page <= MAX_PAGE:
        raise NotFound("There is no such page.")
    return (page - 1) * PAGE


def _page_of(found: list[T]) -> tuple[tuple[T, ...], bool]:
    """One item more than a page was asked for: that tells whether there is another page."""
    return tuple(found[:PAGE]), len(found) > PAGE


def _subject(transaction: Transaction, subject_id: int) -> Subject:
    subject = transaction.screening.subject(subject_id)
    if subject is None:
        raise NotFound(f"There is no subject with the number {subject_id}.")
    return subject


def _known(transaction: Transaction, subject: Subject) -> Known:
    return Known(subject=subject, id=transaction.screening.subject_id(subject))


def _near_copy(transaction: Transaction, subject: Subject) -> NearCopy:
    file = next(iter(_files(transaction, subject)), None)
    return NearCopy(
        known=_known(transaction, subject),
        state=file.state if file else None,
        uploader=file.uploader if file else None,
        decision=transaction.screening.latest_decision(subject),
    )


def _above(subject: Subject) -> tuple[Subject, ...]:
    match subject.kind:
        case Kind.FILE:
            return (subject.release, subject.project)
        case Kind.RELEASE:
            return (subject.project,)
        case Kind.PROJECT:
            return ()


def _files(transaction: Transaction, subject: Subject) -> list[File]:
    """What the catalog holds of a subject now: a file only if it is still the very same bytes."""
    project = transaction.catalog.find_project(subject.name) if subject.source == LOCAL_SOURCE else None
    if project is None:
        return []
    if subject.kind is Kind.FILE:
        file = transaction.catalog.find_file(subject.filename or "")
        same = file is not None and (file.project, file.sha256) == (subject.name, subject.sha256)
        return [file] if file is not None and same else []
    return transaction.catalog.files_of(project.id, version=subject.version)
