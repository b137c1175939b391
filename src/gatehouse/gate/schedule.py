"""The story of the timetable: checks that read the index as a whole, once in so long a time.

What is new is stored, and nothing twice: a finding that says the same of the same subject as one that is stored
already is not news. A check that is enabled puts its subjects on the desk, one in the shadow tells nobody, and
neither moves a file: what it says is about people and dates, and a person looks first. Only one process runs the
timetable at a time, under a lease; when each check last ran, the database knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import structlog

from gatehouse.core.clock import Clock
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.ports import TIMETABLE, Database, TimetableRun, Transaction
from gatehouse.malware.check import MAX_EXCERPT, Check, Evidence
from gatehouse.malware.comparison import likeness
from gatehouse.malware.index_view import IndexView
from gatehouse.malware.inert import inert, inert_block
from gatehouse.malware.lifecycle import Plan, Planned, Standing, State, limited
from gatehouse.malware.model import Confidence, Context, Finding, Outcome, Screened, Subject
from gatehouse.malware.service import MAX_CHAIN, MAX_EVIDENCE, MAX_LINK, MAX_MESSAGE
from gatehouse.malware.verdict import conclude

log = structlog.get_logger(__name__)

LEASE = "timetable"
LEASE_TIME = timedelta(minutes=10)
#: How far back a check sees: whole histories of those to whom something happened since.
HORIZON = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What a run of a check over the index came to, subject by subject."""

    findings: dict[Subject, list[Finding]]
    fault: str | None

    @property
    def count(self) -> int:
        """How many findings."""
        return sum(map(len, self.findings.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _News:
    """A subject's screening to store, and how many of its findings are new."""

    screened: Screened
    fresh: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timetable:
    """Runs what is due."""

    database: Database
    clock: Clock
    lifecycle: Lifecycle

    def run_due(self, holder: str) -> list[TimetableRun]:
        """Run each scheduled check that is due, unless another process does; the runs.

        Args:
            holder: who asks, for the lease.
        """
        if not self._due():
            return []
        with self.database.write() as transaction:
            lease = transaction.leases.acquire(LEASE, holder, ttl=LEASE_TIME, now=self.clock.now())
        if lease is None:
            return []
        try:
            # Asked again: another may have run them between the look and the lease.
            return [self.run(check, standing) for check, standing in self._due()]
        finally:
            with self.database.write() as transaction:
                transaction.leases.release(lease)

    def run(self, check: Check, standing: Standing) -> TimetableRun:
        """Run one scheduled check now, due or not, and store what is new."""
        started_at = self.clock.now()
        with self.database.read() as transaction:
            projects = tuple(transaction.checks.histories(since=started_at - HORIZON))
        found = _scan(check, IndexView(at=started_at, projects=projects))
        fresh = 0
        with self.database.write() as transaction:
            for subject, findings in sorted(found.findings.items(), key=lambda item: item[0].name):
                part = self._news(transaction, check, standing, subject=subject, findings=findings)
                if part is None:
                    continue
                fresh += part.fresh
                transaction.screening.add(
                    part.screened,
                    trigger=TIMETABLE,
                    attempt=1,
                    started_at=started_at,
                    finished_at=self.clock.now(),
                    shadow=standing.state is not State.ENABLED,
                    partial=True,
                )
            outcome = Outcome.FLAGGED if found.count else Outcome.CLEAN
            ran = TimetableRun(
                check=check.name,
                version=check.version,
                started_at=started_at,
                finished_at=self.clock.now(),
                outcome=outcome if found.fault is None else Outcome.INCOMPLETE,
                reason=found.fault,
                found=found.count,
                fresh=fresh,
            )
            transaction.checks.add_timetable(ran)
        if found.fault is None:
            log.info("a scheduled check ran", check=check.name, found=ran.found, fresh=fresh)
        else:
            log.error("a scheduled check did not come to its end", check=check.name, reason=found.fault)
        return ran

    def _due(self) -> list[tuple[Check, Standing]]:
        now = self.clock.now()
        due = []
        with self.database.read() as transaction:
            plan = self.lifecycle.plan(transaction)
            for check in self.lifecycle.registry().all():
                planned = plan.get(check.name)
                if check.schedule is None or planned is None:
                    continue
                if planned.standing.state not in (State.SHADOW, State.ENABLED):
                    continue
                last = transaction.checks.last_timetable(check.name, check.version)
                if last is None or last.started_at + check.schedule.every <= now:
                    due.append((check, planned.standing))
        return due

    @staticmethod
    def _news(
        transaction: Transaction, check: Check, standing: Standing, *, subject: Subject, findings: list[Finding]
    ) -> _News | None:
        """What there is to store of a subject; None if nothing of it is new."""
        shadow = standing.state is not State.ENABLED
        known = transaction.screening.known_findings(subject, check.name, shadow=shadow)
        told = {likeness(finding) for finding in known}
        new = [finding for finding in findings if likeness(finding) not in told]
        if not new:
            return None
        # With what was known: who opens the subject sees all of it, and not the last piece alone.
        whole = conclude(subject, findings=_once([*new, *known]), ran=[check])
        reach = Standing(state=State.ENABLED, tier=check.ceiling) if shadow else standing
        planned = Planned(check=check.name, version=check.version, standing=reach, ceiling=check.ceiling)
        return _News(screened=limited(whole, Plan(checks=(planned,))), fresh=len(new))


def _scan(check: Check, view: IndexView) -> _Found:
    findings: dict[Subject, list[Finding]] = {}
    scan = cast("Any", check.scan)
    known = {project.subject for project in view.projects}
    try:
        for number, evidence in enumerate(scan(view)):
            if number == MAX_EVIDENCE:
                return _Found(findings=findings, fault=f"it found more than {MAX_EVIDENCE} things")
            subject = evidence.subject
            if subject is None or subject.kind is not check.kind or subject.project not in known:
                return _Found(findings=findings, fault="it found something of a subject that it was not shown")
            findings.setdefault(subject, []).append(check.finding(_inert(evidence)))
    except Exception as error:
        # A check's failure is its own: it is told aloud, and what it had found until then stands.
        log.exception("a scheduled check failed", check=check.name)
        return _Found(findings=findings, fault=f"it failed: {type(error).__name__}")
    return _Found(findings=findings, fault=None)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    return list({likeness(finding): finding for finding in findings}.values())


def _inert(evidence: Evidence) -> Evidence:
    return replace(
        evidence,
        message=inert(evidence.message, limit=MAX_MESSAGE),
        confidence=Confidence(evidence.confidence),
        context=Context(evidence.context),
        member=None,
        line=None,
        chain=tuple(inert(link, limit=MAX_LINK) for link in evidence.chain[:MAX_CHAIN]),
        excerpt=inert_block(evidence.excerpt, limit=MAX_EXCERPT),
    )
