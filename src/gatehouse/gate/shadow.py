"""The story of the shadow: checks that watch, over each upload, after the checks that act.

They run in a job of their own: what they cost, break or find changes nothing for the file, and nobody waits for
them. What they found is stored as screenings in the shadow, with their versions; it reaches no desk, no tier and
no score, and is there when a person judges whether a check has earned a tier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from gatehouse.catalog.model import File
from gatehouse.core.clock import Clock
from gatehouse.core.errors import OperatorError
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.ports import Database, Message, Screener, Transaction
from gatehouse.gate.screen import MAX_ATTEMPTS, MAX_CLAIMS, MAX_LASTING_ATTEMPTS, BlobPaths, job_for
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.lifecycle import Plan, Planned, Standing, State, limited
from gatehouse.malware.model import Kind, Outcome

log = structlog.get_logger(__name__)

_REST = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadow:
    """Handles the outbox topic `shadow-file`, one message at a time."""

    database: Database
    blobs: BlobPaths
    clock: Clock
    screener: Screener
    lifecycle: Lifecycle

    def __call__(self, messages: list[Message]) -> None:
        """Run the checks in the shadow over the file of each message."""
        for message in messages:
            self._screen(message)

    def _screen(self, message: Message) -> None:
        with self.database.read() as transaction:
            file, job, plan = self._work(transaction, message)
        if file is None or job is None or file.external_url is not None or not job.checks:
            with self.database.write() as transaction:
                if transaction.outbox.holds(message):
                    transaction.outbox.done([message.id])
            return
        started_at = self.clock.now()
        if message.attempts > MAX_CLAIMS:
            report = incomplete(job, f"whoever took it up ended without an answer, {MAX_CLAIMS} times")
        else:
            report = self._run(job, file)
        self._settle(message, report, plan, started_at)

    def _work(self, transaction: Transaction, message: Message) -> tuple[File | None, Job | None, Plan]:
        plan = self.lifecycle.plan(transaction)
        files = transaction.catalog.get_files([int(message.payload["file_id"])])
        job = job_for(transaction, files[0]) if files else None
        if job is None:
            return None, None, plan
        with_project = bool(message.payload.get("with_project", False))
        return files[0], replace(job, checks=plan.shadow, with_project=with_project), plan

    def _run(self, job: Job, file: File) -> Report:
        try:
            return self.screener.screen(job, self.blobs.path_of(file.sha256))
        except OperatorError as error:
            return incomplete(job, error.message)
        except Exception as error:
            log.exception("a screening in the shadow could not be run", filename=file.filename)
            return incomplete(job, f"it could not be run: {type(error).__name__}")

    def _settle(self, message: Message, report: Report, plan: Plan, started_at: datetime) -> None:
        now = self.clock.now()
        kinds = self._kinds(plan)
        parts = [part for part in report.screened if part.subject.kind in kinds]
        unfinished = any(part.outcome is Outcome.INCOMPLETE for part in parts)
        with self.database.write() as transaction:
            if not transaction.outbox.holds(message):
                return
            for part in parts:
                transaction.screening.add(
                    limited(part, _by_themselves(plan)),
                    trigger=str(message.payload.get("trigger", "upload")),
                    attempt=message.attempts,
                    started_at=started_at,
                    finished_at=now,
                    shadow=True,
                )
            if unfinished and message.attempts < (MAX_LASTING_ATTEMPTS if report.lasting else MAX_ATTEMPTS):
                reason = next((part.incomplete_reason for part in parts if part.incomplete_reason), "")
                transaction.outbox.fail(message.id, str(reason), retry_at=now + _REST * message.attempts)
            else:
                transaction.outbox.done([message.id])

    def _kinds(self, plan: Plan) -> set[Kind]:
        """What the checks in the shadow read: what no one of them reads has no result."""
        watching = set(plan.shadow)
        return {check.kind for check in self.lifecycle.registry().all() if check.name in watching}


def _by_themselves(plan: Plan) -> Plan:
    """The plan with each check up to its own ceiling: the shadow shows what it would do."""
    return Plan(
        checks=tuple(
            Planned(
                check=planned.check,
                version=planned.version,
                standing=Standing(state=State.ENABLED, tier=planned.ceiling),
                ceiling=planned.ceiling,
            )
            for planned in plan.checks
        ),
        model=plan.model,
    )
