"""The story of a screening: claim, run, store, act.

The run takes place outside any transaction, in a child that can do no harm. What it found is stored, the file
moves where policy wants it, and the message is finished, in one transaction: a crash before it screens again,
a crash after it has nothing left to do. Whoever lost the claim meanwhile stores nothing: another has it, and one
screening counts. An INCOMPLETE run is stored too, tried again a bounded number of times (fewer where the same
bytes would end so again), and then means for the file what the operator chose; it is never clean.

Which checks run, and how far each may go, is where they stand in their life at that moment (`gate.lifecycle`);
those that only watch are asked afterwards, in a message of their own (`gate.shadow`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from gatehouse.catalog.distribution import parse_distribution_filename
from gatehouse.catalog.model import File, FileState
from gatehouse.core.clock import Clock
from gatehouse.core.errors import OperatorError
from gatehouse.gate.accept import lane_of
from gatehouse.gate.baseline import baseline_of, file_subject
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.policy import WhenScreeningFails, state_after
from gatehouse.gate.ports import Database, Message, RunKind, Screener, Transaction
from gatehouse.gate.transitions import Transitions
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.lifecycle import limited
from gatehouse.malware.model import Outcome, Tier
from gatehouse.malware.sender import MAX_PROJECTS, Sender
from gatehouse.malware.verdict import like_removed
from gatehouse.malware.views import FileSummary

log = structlog.get_logger(__name__)

#: The outbox topic of what the checks in the shadow shall look at.
SHADOW_FILE = "shadow-file"
#: How often an INCOMPLETE screening is tried in all, and how often one that ran into a limit of its bytes alone: a
#: second time, for a limit on processor time depends a little on the machine.
MAX_ATTEMPTS = 3
MAX_LASTING_ATTEMPTS = 2
#: Claims after which a file is not tried any more: all that took it up ended without a word.
MAX_CLAIMS = 8
#: How long it rests before the next attempt.
_REST = timedelta(seconds=2)
_IN_PLAY = {FileState.ACCEPTED, FileState.PUBLISHED}


class BlobPaths(Protocol):
    """Where a blob lies as a file that another process can be given."""

    def path_of(self, sha256: str) -> Path:
        """The path of a blob."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """Handles the outbox topic `screen-file`, one message at a time.

    `count` is told what every run came to, those that are tried again too; `ring` tells the publisher.
    """

    database: Database
    blobs: BlobPaths
    clock: Clock
    screener: Screener
    lifecycle: Lifecycle
    transitions: Transitions
    when_it_fails: WhenScreeningFails
    count: Callable[[Outcome, Tier], None]
    ring: Callable[[], None]

    def __call__(self, messages: list[Message]) -> None:
        """Screen the file of each message."""
        for message in messages:
            self._screen(message)

    def _screen(self, message: Message) -> None:
        with self.database.read() as transaction:
            files = transaction.catalog.get_files([int(message.payload["file_id"])])
            job = job_for(transaction, files[0]) if files else None
            plan = self.lifecycle.plan(transaction)
        if job is None or files[0].state not in _IN_PLAY or files[0].external_url is not None:
            with self.database.write() as transaction:
                if transaction.outbox.holds(message):
                    transaction.outbox.done([message.id])
            return
        started_at = self.clock.now()
        job = replace(job, checks=plan.live, with_summary=True)
        if message.attempts > MAX_CLAIMS:
            report = incomplete(job, f"whoever took it up ended without an answer, {MAX_CLAIMS} times")
        else:
            report = self._run(job, self.blobs.path_of(files[0].sha256))
        # Which of it people know already matters only where it would wait for them.
        settled: frozenset[str] = frozenset()
        if report.tier >= Tier.QUEUE:
            with self.database.read() as transaction:
                settled = transaction.settled.of(job.subject.release)
        report = replace(report, screened=tuple(limited(each, plan, settled) for each in report.screened))
        # A crash here loses the run and nothing else: the message is still claimed and comes back.
        self._settle(message, files[0], report, started_at, watching=job if plan.shadow else None)

    def _run(self, job: Job, archive: Path) -> Report:
        if not job.checks:
            return incomplete(job, "no check is enabled, so nothing was looked at")
        try:
            return self.screener.screen(job, archive)
        except OperatorError as error:
            # That nothing can be screened here at all is the operator's fault and not the file's, but it means
            # the same for the file: unscreened, and never clean.
            log.warning("screening is not available", reason=error.message)
            return incomplete(job, error.message)
        except Exception as error:
            # Whatever breaks here is our fault; it must end as INCOMPLETE, not as a file that waits for ever.
            log.exception("a screening could not be run", filename=job.subject.filename)
            return incomplete(job, f"it could not be run: {type(error).__name__}")

    def _settle(
        self, message: Message, file: File, report: Report, started_at: datetime, *, watching: Job | None
    ) -> None:
        now = self.clock.now()
        unfinished = report.outcome is Outcome.INCOMPLETE
        attempts = MAX_LASTING_ATTEMPTS if report.lasting else MAX_ATTEMPTS
        again = unfinished and report.tier < Tier.HOLD and message.attempts < attempts
        with self.database.write() as transaction:
            # A person who is deciding holds this lock too: what they decide is read below, not overrun; and two
            # screenings of one project do not meet on the desk.
            transaction.catalog.find_project(file.project, lock=True)
            if not transaction.outbox.holds(message):
                log.warning("another took up this screening; ours does not count", filename=file.filename)
                return
            report = _raised(transaction, report)
            for screened in report.screened:
                transaction.screening.add(
                    screened,
                    trigger=str(message.payload.get("trigger", "upload")),
                    attempt=message.attempts,
                    started_at=started_at,
                    finished_at=now,
                )
            if report.summary is not None:
                transaction.summaries.keep(report.screened[0].subject, report.summary, at=now)
            if report.fingerprint:
                transaction.fingerprints.keep(report.screened[0].subject, report.fingerprint)
            if again:
                reason = str(report.incomplete_reason)
                transaction.outbox.fail(message.id, reason, retry_at=now + _REST * message.attempts)
                moved = []
            else:
                moved = self._act(transaction, file, report, now, trigger=message.payload.get("trigger"))
                if watching is not None:
                    _ask_the_shadow(transaction, message, file, watching, now)
                transaction.outbox.done([message.id])
        self.count(report.outcome, report.tier)
        self._tell(file, report, again=again)
        if moved:
            self.ring()

    def _act(
        self, transaction: Transaction, file: File, report: Report, now: datetime, *, trigger: object
    ) -> list[File]:
        decision = transaction.screening.latest_decision(report.screened[0].subject)
        if decision is not None:
            # A person has decided on this very content; a screening informs people, it does not overrule them.
            return []
        if (trigger, file.state) == (RunKind.RETRO_HUNT.value, FileState.PUBLISHED) and report.tier < Tier.HOLD:
            # What is out is taken back for what was found in it, not because it could not be read today.
            return []
        state = state_after(report.outcome, report.tier, self.when_it_fails)
        cause = "held" if state is FileState.HELD else "published"
        return self.transitions.move(
            transaction, [file.id], state, leaving=_IN_PLAY - {state}, at=now, cause=cause
        )

    @staticmethod
    def _tell(file: File, report: Report, *, again: bool) -> None:
        known = {
            "project": file.project,
            "filename": file.filename,
            "tier": report.tier.word,
            "outcome": report.outcome.value,
        }
        if report.tier >= Tier.ALERT or (report.outcome is Outcome.INCOMPLETE and not again):
            log.warning("alert", **known, reason=report.incomplete_reason or _why(report))
        else:
            log.info("screened", **known)


def _raised(transaction: Transaction, report: Report) -> Report:
    """The report with the file on the queue at least, if it is a near-copy of one that a person removed."""
    if not report.fingerprint:
        return report
    first, *rest = report.screened
    copies = transaction.fingerprints.near_copies(first.subject, report.fingerprint)
    return replace(report, screened=(like_removed(first, removed=copies.removed), *rest))


def _why(report: Report) -> str:
    """The weightiest verdict of a report, as a line for the log."""
    verdicts = [verdict for screened in report.screened for verdict in screened.verdicts]
    weightiest = max(verdicts, key=lambda verdict: verdict.tier, default=None)
    return "" if weightiest is None else f"{weightiest.check}: {weightiest.message}"


def _ask_the_shadow(transaction: Transaction, message: Message, file: File, job: Job, at: datetime) -> None:
    transaction.outbox.add(
        SHADOW_FILE,
        {
            "file_id": message.payload["file_id"],
            "trigger": message.payload.get("trigger", "upload"),
            "with_project": job.with_project,
        },
        at=at,
        lane=lane_of(file.uploader),
    )


def job_for(transaction: Transaction, file: File) -> Job | None:
    """The job of a file, with what of its release and project is due with it; None if it has no project."""
    project = transaction.catalog.find_project(file.project)
    if project is None:
        return None
    files = transaction.catalog.files_of(project.id)
    release = [other for other in files if other.version == file.version]
    # A release is looked at with each of its files; a project with its first, and with later ones until that has
    # come to an end: a first file that is deleted before its screening must not spare the project its own.
    seen = transaction.screening.latest(file_subject(file).project)
    unseen = seen is None or seen.screened.outcome is Outcome.INCOMPLETE
    baseline = baseline_of(transaction, file, files)
    return Job(
        subject=file_subject(file),
        packagetype=file.packagetype,
        archive_format=parse_distribution_filename(file.filename).archive_format,
        core_metadata=transaction.catalog.core_metadata(file.id),
        display_name=project.display_name,
        release_files=tuple(
            FileSummary(
                filename=other.filename, packagetype=other.packagetype, sha256=other.sha256, size=other.size
            )
            for other in release
        ),
        project_releases=tuple(sorted({other.version for other in files})),
        with_release=True,
        with_project=unseen or file.id == min(other.id for other in files),
        previous=baseline.previous,
        beside=baseline.beside,
        history=baseline.history,
        sender=_sender_of(transaction, file),
    )


def _sender_of(transaction: Transaction, file: File) -> Sender | None:
    """Who sent a file. How its own accounts prove who they are, this index does not record, so it is not told."""
    known = transaction.accounts.background(file.uploader, limit=MAX_PROJECTS) if file.uploader else None
    if known is None:
        return None
    return Sender(account=file.uploader, since=known.since.isoformat(), projects=known.projects)
