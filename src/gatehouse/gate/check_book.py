"""What people read of a check: where it stands, how it came there, what it is worth, what it costs.

Each page is one value, read in one transaction. Nothing here moves a check; that is `gate.lifecycle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gatehouse.core.clock import Clock
from gatehouse.core.errors import NotFound
from gatehouse.gate.lifecycle import MAX_ALARMS, NOTICE, Lifecycle, demotions
from gatehouse.gate.ports import Costs, CostShare, Database, Run, TimetableRun, Transaction
from gatehouse.malware.check import Check
from gatehouse.malware.ledger import Ledger, tally
from gatehouse.malware.lifecycle import Standing, State, StateChange
from gatehouse.malware.model import Tier

#: Screenings that costs are taken from, and runs that a page shows.
_COST_SCREENINGS = 1000
_RUNS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckLine:
    """A check as it stands. `ledger` is of those alarms that reached people, `shadow` of those that did not."""

    name: str
    version: str
    kind: str
    summary: str
    ceiling: Tier
    standing: Standing
    since: datetime | None
    ledger: Ledger
    shadow: Ledger
    cost: CostShare | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionLine:
    """A version of a check that is not here any more: where it stood last, and what its alarms were worth."""

    version: str
    standing: Standing
    ledger: Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckPage:
    """All that is known of a check; its history has the newest step first."""

    line: CheckLine
    earlier: tuple[VersionLine, ...]
    history: tuple[StateChange, ...]
    runs: tuple[Run, ...]
    timetable: TimetableRun | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckBook:
    """Reads the pages. Safe to use from many threads."""

    database: Database
    clock: Clock
    lifecycle: Lifecycle

    def lines(self) -> tuple[CheckLine, ...]:
        """All checks that are here, by name."""
        with self.database.read() as transaction:
            costs = transaction.checks.costs(limit=_COST_SCREENINGS)
            latest = transaction.checks.latest_changes()
            return tuple(
                self._line(transaction, check, latest.get((check.name, check.version)), costs)
                for check in self.lifecycle.registry().all()
            )

    def page(self, name: str) -> CheckPage:
        """All that is known of a check.

        Raises:
            NotFound: there is none of that name here.
        """
        found = next((check for check in self.lifecycle.registry().all() if check.name == name), None)
        if found is None:
            raise NotFound(f"There is no check {name!r}.")
        with self.database.read() as transaction:
            costs = transaction.checks.costs(limit=_COST_SCREENINGS)
            latest = transaction.checks.latest_changes()
            earlier = sorted(
                (change for (other, version), change in latest.items() if other == name != version),
                key=lambda change: -int(change.version),
            )
            return CheckPage(
                line=self._line(transaction, found, latest.get((name, found.version)), costs),
                earlier=tuple(
                    VersionLine(
                        version=change.version,
                        standing=change.standing,
                        ledger=self._ledger(transaction, name, change.version, shadow=False),
                    )
                    for change in earlier
                    if change.version != found.version
                ),
                history=tuple(reversed(transaction.checks.changes(name))),
                runs=tuple(transaction.runs.recent(limit=_RUNS, check=name)),
                timetable=transaction.checks.last_timetable(name, found.version),
            )

    def notices(self) -> tuple[StateChange, ...]:
        """The demotions that people at the desk should know of, the newest first."""
        with self.database.read() as transaction:
            return tuple(demotions(transaction, now_minus=NOTICE, clock=self.clock))

    def _line(self, transaction: Transaction, check: Check, last: StateChange | None, costs: Costs) -> CheckLine:
        return CheckLine(
            name=check.name,
            version=check.version,
            kind=check.kind.value if check.schedule is None else "index",
            summary=check.summary,
            ceiling=check.ceiling,
            standing=Standing(state=State.DRAFT) if last is None else last.standing,
            since=None if last is None else last.at,
            ledger=self._ledger(transaction, check.name, check.version, shadow=False),
            shadow=self._ledger(transaction, check.name, check.version, shadow=True),
            cost=costs.shares.get(check.name),
        )

    def _ledger(self, transaction: Transaction, name: str, version: str, *, shadow: bool) -> Ledger:
        changes = [change for change in transaction.checks.changes(name) if change.version == version]
        now = self.clock.now()
        alarms = transaction.checks.alarms(name, version, shadow=shadow, since=None, limit=MAX_ALARMS)
        return tally(alarms, since=min((change.at for change in changes), default=now), until=now)
