"""The story of a check's life: where it begins, who moves it, what it may do now, and when it loses a tier.

- The checks that come with a new index begin enabled, at their ceilings; the system says so, once.
- A check that comes later, or in a pack, begins in the shadow. So does a new version of an enabled one, and a
  replay against what the old version found is queued; where it shows the same results, the new version takes the
  old one's place. A new version of any other check begins where the old one stands: what a person stopped stays
  stopped.
- Only a person promotes. A promotion queues a retro-hunt over all that the index holds.
- What leaves its bounds loses one tier, with an audit entry, a line in the log, a metric and a notice on the desk.
- Where checks stand is read for each job, in the job's own transaction: a step holds from the next job on, in
  every process, without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, Conflict, NotFound
from gatehouse.gate.ports import AuditEntry, Database, NewRun, Run, RunKind, RunState, Transaction
from gatehouse.gate.runs import begin
from gatehouse.malware.check import Check
from gatehouse.malware.ledger import DAY, Bounds, leaves_bounds, rush, tally
from gatehouse.malware.lifecycle import (
    SYSTEM,
    Plan,
    Planned,
    Standing,
    State,
    StateChange,
    is_promotion,
    one_down,
    require_step,
)
from gatehouse.malware.model import Kind, Tier
from gatehouse.malware.registry import Registry
from gatehouse.malware.weighing.model import SHIPPED, Model

log = structlog.get_logger(__name__)

MAX_REASON = 2000
#: Alarms of one check that are looked at when it is judged, the newest.
MAX_ALARMS = 20_000
#: Subjects that the replay of a new version looks at.
REPLAY_SAMPLE = 500
#: Of what a replay looked at, this share must have been comparable before a new version inherits.
_COMPARABLE = 0.95
_TRIES = 3
_DRAFT = Standing(state=State.DRAFT)
_BEGAN = "It came with this index when its checks were first counted."
_NEW = "It is new here: it watches until somebody enables it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step that was taken, and the retro-hunt that it queued, if it did."""

    change: StateChange
    retro_hunt: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifecycle:
    """Says where checks stand, and moves them. Safe to use from many threads.

    `registry` gives the checks that are there now; `ships` says whether one of that name comes with Gatehouse
    itself; `model` what findings are worth and where the tiers begin; `demoted` is told of each demotion (check,
    its new standing); `ring` wakes whoever works on runs.
    """

    database: Database
    clock: Clock
    registry: Callable[[], Registry]
    ships: Callable[[str], bool] = lambda _name: True
    bounds: Bounds = field(default_factory=Bounds)
    model: Model = SHIPPED
    demoted: Callable[[str, Standing], None] = lambda _check, _standing: None
    ring: Callable[[], None] = lambda: None

    # --- what holds now ------------------------------------------------------------------------------------------

    def plan(self, transaction: Transaction) -> Plan:
        """The checks that are there, and where each stands at this moment; one not yet counted is a draft."""
        latest = transaction.checks.latest_changes()
        return Plan(checks=tuple(_planned(check, latest) for check in self.registry().all()), model=self.model)

    def fault(self) -> str | None:
        """Why nothing can be found clean, if that is so: no check that reads files is enabled."""
        with self.database.read() as transaction:
            live = set(self.plan(transaction).live)
        if any(check.name in live for check in self.registry().all() if _reads_files(check)):
            return None
        return "No check that reads files is enabled: nothing is screened, and everything ends INCOMPLETE."

    def superseded(self) -> list[str]:
        """The enabled checks whose enabled version is not here any more, while the one that is does not act."""
        with self.database.read() as transaction:
            latest = transaction.checks.latest_changes()
        here = {(check.name, check.version): check for check in self.registry().all()}
        enabled = {key for key, change in latest.items() if change.standing.state is State.ENABLED}
        return sorted(
            f"{name} {version} is {latest[name, version].standing.word}; the version that was enabled is gone"
            for name, version in here
            if (name, version) in latest
            and (name, version) not in enabled
            and latest[name, version].actor == SYSTEM
            and any(other == name for other, _ in enabled)
        )

    # --- beginnings ----------------------------------------------------------------------------------------------

    def sync(self) -> list[StateChange]:
        """Count the checks that are there and were not counted yet; the steps that this took.

        Raises:
            Conflict: other processes did the same at the same time, again and again.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                return self._sync()
            except Conflict:
                # Another process counted them first: what it did is read now.
                if attempt == _TRIES:
                    raise
        return []

    def _sync(self) -> list[StateChange]:
        with self.database.read() as transaction:
            latest = transaction.checks.latest_changes()
        if all((check.name, check.version) in latest for check in self.registry().all()):
            return []
        taken = []
        now = self.clock.now()
        with self.database.write() as transaction:
            latest = transaction.checks.latest_changes()
            for check in self.registry().all():
                if (check.name, check.version) in latest:
                    continue
                before = _version_before(check, latest)
                first = not latest and self.ships(check.name)
                change = StateChange(
                    check=check.name,
                    version=check.version,
                    number=1,
                    standing=_beginning(check, before, first=first),
                    actor=SYSTEM,
                    at=now,
                    reason=_why_so(before, first=first),
                )
                transaction.checks.append(change)
                taken.append(change)
                if before is not None and before.standing.state is State.ENABLED and check.schedule is None:
                    self._queue_replay(transaction, check, before)
        if not latest:  # a new index: a line for each would only push out of sight what else it says
            log.info("checks began", count=len(taken))
        for change in taken if latest else ():
            log.info("a check began", check=change.check, version=change.version, state=change.standing.word)
        self.ring()
        return taken

    def _queue_replay(self, transaction: Transaction, check: Check, before: StateChange) -> None:
        new = NewRun(
            kind=RunKind.REPLAY,
            check=check.name,
            version=check.version,
            subjects=check.kind,
            actor=SYSTEM,
            reason=f"does version {check.version} find what version {before.version} found?",
            against=before.version,
            sample=REPLAY_SAMPLE,
        )
        begin(transaction, new, at=self.clock.now())

    def inherit(self, transaction: Transaction, run: Run) -> StateChange | None:
        """Let a new version take the place of the old one, where the replay that has just ended shows it the same.

        Args:
            transaction: the one in which the run ended.
            run: a run that is finished.

        Returns:
            The step, or None where the replay does not show it, or somebody has moved either version since.
        """
        new, counts = run.new, run.counts
        if new.kind is not RunKind.REPLAY or new.actor != SYSTEM or run.state is not RunState.FINISHED:
            return None
        latest = transaction.checks.latest_changes()
        now, before = latest.get((new.check, new.version)), latest.get((new.check, new.against or ""))
        checks = {check.name: check for check in self.registry().all()}
        if now is None or before is None or new.check not in checks:
            return None
        untouched = now.number == 1 and now.standing.state is State.SHADOW
        compared = counts.same + counts.different
        enough = compared > 0 and compared >= _COMPARABLE * (compared + counts.incomparable)
        if not untouched or before.standing.state is not State.ENABLED or counts.different or not enough:
            return None
        change = StateChange(
            check=new.check,
            version=new.version,
            number=now.number + 1,
            standing=Standing(state=State.ENABLED, tier=min(before.standing.tier, checks[new.check].ceiling)),
            actor=SYSTEM,
            at=self.clock.now(),
            reason=f"Replay {run.id}: the same as version {new.against} on all {compared} subjects compared, of "
            f"{run.total} drawn (seed {new.seed}).",
            run=run.id,
        )
        transaction.checks.append(change)
        transaction.audit.append(_audit_entry(change, "check:inherit", None))
        log.info("a check inherited its standing", check=new.check, version=new.version, run=run.id)
        return change

    # --- steps that people take ----------------------------------------------------------------------------------

    def move(
        self,
        name: str,
        to: Standing,
        *,
        actor: str,
        reason: str,
        version: str | None = None,
        remote: str | None = None,
    ) -> Step:
        """Let a check take a step.

        Args:
            name: which check.
            to: where it shall stand.
            actor: who decides.
            reason: why; it is kept for ever.
            version: which version; None means the one that is here.
            remote: from which address, for the audit log.

        Raises:
            CallerError: there is no reason, or too long a one.
            NotFound: there is no such check, or not in that version.
            Conflict: the step cannot be taken from where the check stands, or somebody took one meanwhile.
        """
        reason = reason.strip()
        if not reason or len(reason) > MAX_REASON:
            raise CallerError(f"A step needs a reason of at most {MAX_REASON} characters.")
        check = self.registry().get(name)
        if version not in (None, check.version):
            raise NotFound(f"Version {version} of {name} is not here; version {check.version} is.")
        now = self.clock.now()
        with self.database.write() as transaction:
            last = transaction.checks.latest_changes().get((name, check.version))
            standing = _DRAFT if last is None else last.standing
            require_step(standing, to, ceiling=check.ceiling)
            change = StateChange(
                check=name,
                version=check.version,
                number=1 if last is None else last.number + 1,
                standing=to,
                actor=actor,
                at=now,
                reason=reason,
            )
            transaction.checks.append(change)
            transaction.audit.append(_audit_entry(change, "check:state", remote))
            retro_hunt = None
            if is_promotion(standing, to) and check.schedule is None:
                retro_hunt = begin(
                    transaction,
                    NewRun(
                        kind=RunKind.RETRO_HUNT,
                        check=name,
                        version=check.version,
                        subjects=check.kind,
                        actor=actor,
                        reason=f"it is now {to.word}",
                    ),
                    at=now,
                )
        self.ring()
        return Step(change=change, retro_hunt=retro_hunt)

    # --- demotion ------------------------------------------------------------------------------------------------

    def judge(self) -> list[StateChange]:
        """Take a tier from each check that left its bounds; the steps that this took."""
        with self.database.read() as transaction:
            wanting = [check for check in self.plan(transaction).checks if self._fault_of(transaction, check)]
        return [change for check in wanting if (change := self._demote(check)) is not None]

    def _fault_of(self, transaction: Transaction, planned: Planned) -> str | None:
        last = transaction.checks.latest_changes().get((planned.check, planned.version))
        if last is None or last.standing.state is not State.ENABLED:
            return None
        now = self.clock.now()
        alarms = transaction.checks.alarms(
            planned.check, planned.version, shadow=False, since=last.at, limit=MAX_ALARMS
        )
        recent = rush(alarms, after=now - DAY, bounds=self.bounds)
        ledger = tally(alarms, since=last.at, until=now)
        return leaves_bounds(last.standing, ledger, last_day=recent, bounds=self.bounds)

    def _demote(self, planned: Planned) -> StateChange | None:
        with self.database.write() as transaction:
            # Read again: a person may have moved it, or another process taken the tier, since it was looked at.
            reason = self._fault_of(transaction, planned)
            last = transaction.checks.latest_changes().get((planned.check, planned.version))
            lower = None if last is None else one_down(last.standing)
            if reason is None or last is None or lower is None:
                return None
            change = StateChange(
                check=planned.check,
                version=planned.version,
                number=last.number + 1,
                standing=lower,
                actor=SYSTEM,
                at=self.clock.now(),
                reason=f"Demoted from {last.standing.word}: {reason}.",
            )
            transaction.checks.append(change)
            transaction.audit.append(_audit_entry(change, "check:demote", None))
        log.warning(
            "a check was demoted",
            check=change.check,
            version=change.version,
            state=change.standing.word,
            reason=change.reason,
        )
        self.demoted(change.check, change.standing)
        return change


#: How long a demotion stands on the desk.
NOTICE = timedelta(days=7)


def demotions(transaction: Transaction, *, now_minus: timedelta, clock: Clock) -> list[StateChange]:
    """The demotions of that long, the newest first, of checks that nobody has moved since."""
    since = clock.now() - now_minus
    return sorted(
        (
            change
            for change in transaction.checks.latest_changes().values()
            if change.actor == SYSTEM and change.number > 1 and change.run is None and change.at >= since
        ),
        key=lambda change: change.at,
        reverse=True,
    )


def _reads_files(check: Check) -> bool:
    return check.kind is Kind.FILE and check.schedule is None


def _planned(check: Check, latest: Mapping[tuple[str, str], StateChange]) -> Planned:
    last = latest.get((check.name, check.version))
    return Planned(
        check=check.name,
        version=check.version,
        standing=_DRAFT if last is None else last.standing,
        ceiling=check.ceiling,
    )


def _version_before(check: Check, latest: Mapping[tuple[str, str], StateChange]) -> StateChange | None:
    """The last step of the version that stood here before: the one that acted, or else the newest."""
    others = [change for (name, version), change in latest.items() if name == check.name != version]
    return max(
        others,
        key=lambda change: (change.standing.state is State.ENABLED, int(change.version)),
        default=None,
    )


def _beginning(check: Check, before: StateChange | None, *, first: bool) -> Standing:
    if first:
        return Standing(state=State.ENABLED, tier=check.ceiling)
    if before is None or before.standing.state is State.ENABLED:
        return Standing(state=State.SHADOW)
    return Standing(state=before.standing.state, tier=Tier.NONE)


def _why_so(before: StateChange | None, *, first: bool) -> str:
    if first:
        return _BEGAN
    if before is None:
        return _NEW
    if before.standing.state is State.ENABLED:
        return f"Version {before.version} is enabled; this one watches until it is shown to find the same."
    return f"Version {before.version} is {before.standing.word}."


def _audit_entry(change: StateChange, action: str, remote: str | None) -> AuditEntry:
    return AuditEntry(
        at=change.at,
        actor=change.actor,
        action=action,
        detail={
            "check": change.check,
            "version": change.version,
            "state": change.standing.state.value,
            "tier": change.standing.tier.word,
            "reason": change.reason,
        },
        remote=remote,
    )
