"""The story of working on a run: take a piece, run the check on its files, store what it found.

Many workers share a run: each takes a few files under a lease, and what they came to is stored in one transaction
with the run's counts. A crash before it loses the piece's work and nothing else: the lease ends and somebody does
it again. A worker that comes late finds that the piece is another's, and stores nothing.

Results are screenings in the shadow: they hold nothing and tell nobody. Only what a retro-hunt finds at the queue
or above is sent through the gate again, with all enabled checks, as if it came in now; a person's decision stands
there as it always does. A retro-hunt that would fill the desk pauses itself, and goes on when a person says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from gatehouse.catalog.model import File, FileState
from gatehouse.core.clock import Clock
from gatehouse.core.errors import LeaseLost, OperatorError
from gatehouse.gate.accept import SCREEN_FILE
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.ports import (
    Counts,
    Database,
    Piece,
    ReplayDifference,
    Run,
    RunKind,
    RunState,
    Screener,
    Transaction,
)
from gatehouse.gate.runs import PIECE
from gatehouse.gate.screen import BlobPaths, job_for
from gatehouse.malware.check import Check
from gatehouse.malware.comparison import Difference, compare
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.lifecycle import Plan, Planned, Standing, State, limited, only_of
from gatehouse.malware.model import Finding, Kind, Outcome, Screened, Tier

log = structlog.get_logger(__name__)

#: How often a piece is begun before its files count as INCOMPLETE: whoever works on it may die of it.
MAX_ATTEMPTS = 5
_REST = timedelta(seconds=30)
#: The lane of all that retro-hunts send through the gate again: together they delay uploads as one uploader does.
_LANE = "retro-hunts"
_MARGIN = timedelta(seconds=20)
_HERE = frozenset({FileState.ACCEPTED, FileState.PUBLISHED, FileState.HELD})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """What a file of a piece came to."""

    file: File
    screened: Screened
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """Works on runs, a piece at a time. Any number of threads and processes may do so at once.

    `seconds` is how long one file may take; `ring` tells the screening that there is something to screen again.
    """

    database: Database
    blobs: BlobPaths
    clock: Clock
    screener: Screener
    lifecycle: Lifecycle
    seconds: timedelta
    ring: Callable[[], None] = lambda: None

    def work_once(self, run_id: int | None = None) -> Run | None:
        """Take one piece (of any run, the oldest first) and finish it; the run after it. None: there is none.

        Raises:
            OperatorError: nothing can be screened here; the piece was given back.
        """
        with self.database.write() as transaction:
            piece = transaction.runs.claim(
                run_id=run_id, piece=PIECE, now=self.clock.now(), lease=PIECE * (self.seconds + _MARGIN)
            )
        if piece is None:
            return None
        check = self._check(piece)
        if check is None:
            return self._abandon(piece)
        try:
            results = [self._screened(file, job, check, piece) for file, job in self._jobs(piece, check)]
        except OperatorError:
            with self.database.write() as transaction:
                transaction.runs.release(piece, retry_at=self.clock.now() + _REST)
            raise
        # A crash here loses the work on this piece: its lease ends, and somebody takes it again.
        try:
            return self._store(piece, check, results)
        except LeaseLost as lost:
            log.warning("the work on a piece was for nothing", run=piece.run.id, reason=str(lost))
            return piece.run

    def _check(self, piece: Piece) -> Check | None:
        """The check, if it is here in the version that the run is about."""
        new = piece.run.new
        for check in self.lifecycle.registry().all():
            if (check.name, check.version) == (new.check, new.version):
                return check
        return None

    def _abandon(self, piece: Piece) -> Run:
        """Nobody here can run that version any more, and nobody will: the run is over."""
        run = piece.run
        with self.database.write() as transaction:
            transaction.runs.set_state(run.id, RunState.CANCELLED, at=self.clock.now())
        log.warning(
            "a run was cancelled: its check is not here in that version",
            run=run.id,
            check=run.new.check,
            version=run.new.version,
        )
        return replace(run, state=RunState.CANCELLED)

    def _jobs(self, piece: Piece, check: Check) -> list[tuple[File, Job]]:
        with self.database.read() as transaction:
            files = [
                file
                for file in transaction.catalog.get_files(piece.files)
                if file.state in _HERE and file.external_url is None
            ]
            jobs = [(file, job_for(transaction, file)) for file in files]
        return [
            (
                file,
                replace(
                    job,
                    checks=(check.name,),
                    with_release=check.kind is Kind.RELEASE,
                    with_project=check.kind is Kind.PROJECT,
                ),
            )
            for file, job in jobs
            if job is not None
        ]

    def _screened(self, file: File, job: Job, check: Check, piece: Piece) -> _Result:
        started_at = self.clock.now()
        if piece.attempts > MAX_ATTEMPTS:
            report = incomplete(job, f"whoever worked on it did not come to an end, {MAX_ATTEMPTS} times")
        else:
            report = self._run(file, job)
        # In its own right and up to its own ceiling: what it may do here and now is not the question.
        whole = Standing(state=State.ENABLED, tier=check.ceiling)
        plan = Plan(
            checks=(Planned(check=check.name, version=check.version, standing=whole, ceiling=check.ceiling),)
        )
        part = next((each for each in report.screened if each.subject.kind is check.kind), None)
        if part is None:
            part = incomplete(job, f"the report has no {check.kind.value}").screened[-1]
        return _Result(
            file=file,
            screened=only_of(limited(part, plan), check.name),
            started_at=started_at,
            finished_at=self.clock.now(),
        )

    def _run(self, file: File, job: Job) -> Report:
        try:
            return self.screener.screen(job, self.blobs.path_of(file.sha256))
        except OperatorError:
            raise
        except Exception as error:
            log.exception("a screening could not be run", filename=file.filename)
            return incomplete(job, f"it could not be run: {type(error).__name__}")

    def _store(self, piece: Piece, check: Check, results: Sequence[_Result]) -> Run:
        with self.database.write() as transaction:
            counts = Counts(done=len(piece.files), gone=len(piece.files) - len(results))
            for result in results:
                counts = self._store_one(transaction, piece.run, check, result, counts)
            run = transaction.runs.finish(piece, counts, at=self.clock.now())
            paused = run.new.kind is RunKind.RETRO_HUNT and self._is_too_much(run, counts)
            if paused and run.state is RunState.RUNNING:
                transaction.runs.set_state(run.id, RunState.PAUSED, at=self.clock.now())
                run = replace(run, state=RunState.PAUSED)
            self.lifecycle.inherit(transaction, run)
        if counts.rescreened:
            self.ring()
        if paused:
            log.warning(
                "a retro-hunt paused itself: it raises more alarms than a check may in a day",
                run=run.id,
                check=check.name,
                rescreened=run.counts.rescreened,
            )
        if run.state is RunState.FINISHED:
            log.info("a run is finished", run=run.id, check=check.name, done=run.counts.done)
        return run

    def _store_one(
        self, transaction: Transaction, run: Run, check: Check, result: _Result, counts: Counts
    ) -> Counts:
        screened, new = result.screened, run.new
        difference = None
        if new.kind is RunKind.REPLAY:
            # Read before this very result is stored.
            before = transaction.runs.stored_result(screened.subject, check.name, new.against or new.version)
            difference = (
                Difference(comparable=False) if before is None else compare(before, screened, check=check.name)
            )
        transaction.screening.add(
            screened,
            trigger=new.kind.value,
            attempt=1,
            started_at=result.started_at,
            finished_at=result.finished_at,
            shadow=True,
            run_id=run.id,
        )
        if difference is not None and difference.comparable and not difference.same:
            _keep(transaction, run, screened, difference)
        again = new.kind is RunKind.RETRO_HUNT and self._reaches_people(transaction, check, screened)
        if again:
            transaction.outbox.add(
                SCREEN_FILE,
                {"file_id": result.file.id, "trigger": RunKind.RETRO_HUNT.value},
                at=result.finished_at,
                lane=_LANE,
            )
        outcome = screened.outcome
        return replace(
            counts,
            clean=counts.clean + (outcome is Outcome.CLEAN),
            flagged=counts.flagged + (outcome is Outcome.FLAGGED),
            incomplete=counts.incomplete + (outcome is Outcome.INCOMPLETE),
            reached=counts.reached + (screened.tier >= Tier.QUEUE),
            rescreened=counts.rescreened + again,
            same=counts.same + (difference is not None and difference.same),
            different=counts.different
            + (difference is not None and difference.comparable and not difference.same),
            incomparable=counts.incomparable + (difference is not None and not difference.comparable),
        )

    def _reaches_people(self, transaction: Transaction, check: Check, screened: Screened) -> bool:
        """Whether it alarms as far as the check may go now; somebody may have changed that since the run began."""
        planned = self.lifecycle.plan(transaction).get(check.name)
        return planned is not None and min(planned.reach, screened.tier) >= Tier.QUEUE

    def _is_too_much(self, run: Run, counts: Counts) -> bool:
        """Whether this piece took the run past a further multiple of a day's alarms."""
        budget = self.lifecycle.bounds.alarms_a_day
        return run.counts.rescreened // budget > (run.counts.rescreened - counts.rescreened) // budget


def _keep(transaction: Transaction, run: Run, screened: Screened, difference: Difference) -> None:
    subject_id = transaction.screening.subject_id(screened.subject)
    if subject_id is not None:
        transaction.runs.add_difference(
            run.id,
            subject_id,
            ReplayDifference(
                subject=screened.subject, gained=_lines(difference.gained), lost=_lines(difference.lost)
            ),
        )


def _lines(findings: Sequence[Finding]) -> tuple[tuple[str, str | None], ...]:
    return tuple((finding.message, finding.member) for finding in findings)
