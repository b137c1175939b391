"""How the gate is: what `readyz`, `metrics`, `tuf status`, `doctor` and the front page say.

Probes and scrapes come every few seconds, so an overview costs nothing that grows with the number of projects or
files; who wants those counted asks for the holdings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gatehouse.core.clock import Clock
from gatehouse.core.errors import GatehouseError
from gatehouse.gate.ports import Database, Publication, RoleSummary
from gatehouse.gate.trust import Trust
from gatehouse.malware.model import Tier
from gatehouse.tuf.model import Family
from gatehouse.tuf.roles import (
    BIN_PREFIX,
    OFFLINE_DELEGATED,
    SNAPSHOT,
    TIMESTAMP,
    Lifetimes,
    Urgency,
    offline_urgency,
    online_urgency,
)
from gatehouse.tuf.trusted import OfflineState


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleStatus:
    """One role as it stands: `count` roles of one kind share a line, with the earliest of their expiries."""

    name: str
    version: int
    expires: datetime
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpiryWarning:
    """A role, or the bins of a family, that must be signed anew: before it ends at `expires`, if it has not."""

    role: str
    level: Urgency
    message: str
    expires: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The state of the metadata and of the work at one moment.

    `refused_changes` can never be published and were set aside; `waiting_subjects` are those on the desk;
    `warnings` come before anything expires, the most pressing first.
    """

    at: datetime
    snapshot_version: int | None
    timestamp_expires: datetime | None
    pending_changes: int
    refused_changes: int
    waiting_messages: int
    dead_messages: int
    waiting_subjects: Mapping[Tier, int]
    roles: tuple[RoleStatus, ...]
    warnings: tuple[ExpiryWarning, ...]
    last_publication: Publication | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """How much the index holds."""

    projects: int
    targets: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Looks, and says. `faults` are probes of the running process (its loops); each returns a fault or None."""

    database: Database
    clock: Clock
    trust: Trust
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    faults: list[Callable[[], str | None]] = field(default_factory=list)

    def overview(self) -> Overview:
        """The state as the database has it."""
        with self.database.read() as transaction:
            offline = self.trust.state(transaction)
            online = _online(offline, transaction.signing.role_summary())
            waiting, dead = transaction.outbox.count()
            timestamp = online.get(TIMESTAMP)
            snapshot = online.get(SNAPSHOT)
            now = self.clock.now()
            return Overview(
                at=now,
                snapshot_version=None if snapshot is None else snapshot.version,
                timestamp_expires=None if timestamp is None else timestamp.expires,
                pending_changes=transaction.journal.count_pending(),
                refused_changes=transaction.journal.count_refused(),
                waiting_messages=waiting,
                dead_messages=dead,
                waiting_subjects=transaction.screening.count_waiting(),
                roles=(*_offline(offline), *online.values()),
                warnings=tuple(self._warnings(offline, online, now)),
                last_publication=transaction.signing.last_publication(),
            )

    def _warnings(
        self, offline: OfflineState, online: Mapping[str, RoleStatus], now: datetime
    ) -> list[ExpiryWarning]:
        found = [(role, offline_urgency(role.expires, now), False) for role in _offline(offline)] + [
            (role, self._overdue(offline, role, now), True) for role in online.values()
        ]
        warnings = [
            ExpiryWarning(
                role=role.name,
                level=level,
                message=_message(role, level, now, online=of_publisher),
                expires=role.expires,
            )
            for role, level, of_publisher in found
            if level is not None
        ]
        return sorted(warnings, key=lambda warning: (-warning.level, warning.expires))

    def _overdue(self, offline: OfflineState, role: RoleStatus, now: datetime) -> Urgency | None:
        family = next((family for family in Family if role.name == f"{BIN_PREFIX[family]}-n"), None)
        if family is None:
            above = offline.above(role.name)
            lifetime = self.lifetimes.timestamp if role.name == TIMESTAMP else self.lifetimes.snapshot
        else:
            above = offline.above_bins(family)
            lifetime = self.lifetimes.bin_n
        # What lives as long as the offline metadata above it cannot be renewed; that metadata has its own warning.
        if role.expires >= min(each.expires for each in above):
            return None
        return online_urgency(role.expires, lifetime, now)

    def holdings(self) -> Holdings:
        """How much the database has, counted now."""
        with self.database.read() as transaction:
            return Holdings(
                projects=len(transaction.catalog.served_projects()), targets=transaction.signing.count_targets()
            )

    def ready(self) -> list[str]:
        """Why the index is not ready to serve; empty when it is."""
        reasons = [fault for probe in self.faults if (fault := probe()) is not None]
        try:
            overview = self.overview()
        except GatehouseError as error:
            return [*reasons, error.message]
        if overview.timestamp_expires is None:
            reasons.append("Nothing has been published yet.")
        elif overview.timestamp_expires <= overview.at:
            reasons.append("The timestamp has expired; clients refuse the repository.")
        return reasons


def _offline(offline: OfflineState) -> list[RoleStatus]:
    """The offline roles, from the root down."""
    return [
        RoleStatus(name=role.name, version=role.version, expires=role.expires)
        for role in (offline.root, *(offline.delegated[name] for name in OFFLINE_DELEGATED))
    ]


def _online(offline: OfflineState, summaries: Sequence[RoleSummary]) -> dict[str, RoleStatus]:
    """The online roles that there are: the bins of each family as one, then snapshot and timestamp."""
    found: dict[str, RoleStatus] = {}
    for summary in summaries:
        ref = offline.layout.parse_role(summary.first)
        # Bins that no delegation reaches any more stay as they are for ever; their end concerns nobody.
        if ref is not None or summary.first in (SNAPSHOT, TIMESTAMP):
            name = summary.first if ref is None else f"{BIN_PREFIX[ref.family]}-n"
            found[name] = RoleStatus(
                name=name, version=summary.version, expires=summary.expires, count=summary.count
            )
    order = (*(f"{BIN_PREFIX[family]}-n" for family in Family), SNAPSHOT, TIMESTAMP)
    return {name: found[name] for name in order if name in found}


def _message(role: RoleStatus, level: Urgency, now: datetime, *, online: bool) -> str:
    when = f"{'ended' if role.expires <= now else 'ends'} at {role.expires:%Y-%m-%d %H:%M} UTC"
    if online:
        return f"The renewal of {role.name}, which {when}, is overdue: is a publisher at work?"
    hurry = " now" if level is Urgency.CRITICAL else ""
    return f"{role.name} {when}: the key holders must sign a new version{hurry}."
