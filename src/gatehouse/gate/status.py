"""How the gate is: what `readyz`, `metrics`, `tuf status`, `doctor` and the front page say.

Probes and scrapes come every few seconds, so an overview costs nothing that grows with the number of projects or
files; who wants those counted asks for the holdings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gatehouse.core.clock import Clock
from gatehouse.core.errors import GatehouseError
from gatehouse.gate.ports import Database, Publication
from gatehouse.gate.trust import Trust
from gatehouse.malware.model import Tier
from gatehouse.tuf.model import Family, OnlineRole
from gatehouse.tuf.roles import BIN_PREFIX, OFFLINE_DELEGATED, SNAPSHOT, TIMESTAMP
from gatehouse.tuf.trusted import OfflineState


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleStatus:
    """One role as it stands: `count` roles of one kind share a line, with the earliest of their expiries."""

    name: str
    version: int
    expires: datetime
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The state of the metadata and of the work at one moment. `waiting_subjects` are those on the desk."""

    at: datetime
    snapshot_version: int | None
    timestamp_expires: datetime | None
    pending_changes: int
    waiting_messages: int
    dead_messages: int
    waiting_subjects: Mapping[Tier, int]
    roles: tuple[RoleStatus, ...]
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
    faults: list[Callable[[], str | None]] = field(default_factory=list)

    def overview(self) -> Overview:
        """The state as the database has it."""
        with self.database.read() as transaction:
            offline = self.trust.state(transaction)
            online = transaction.signing.online_roles()
            waiting, dead = transaction.outbox.count()
            timestamp = online.get(TIMESTAMP)
            snapshot = online.get(SNAPSHOT)
            return Overview(
                at=self.clock.now(),
                snapshot_version=None if snapshot is None else snapshot.version,
                timestamp_expires=None if timestamp is None else timestamp.expires,
                pending_changes=transaction.journal.count_pending(),
                waiting_messages=waiting,
                dead_messages=dead,
                waiting_subjects=transaction.screening.count_waiting(),
                roles=tuple(_roles(offline, online)),
                last_publication=transaction.signing.last_publication(),
            )

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


def _roles(offline: OfflineState, online: Mapping[str, OnlineRole]) -> list[RoleStatus]:
    """Every role, from the root down; the bins of a family share a line."""
    lines = [
        RoleStatus(name=role.name, version=role.version, expires=role.expires)
        for role in (offline.root, *(offline.delegated[name] for name in OFFLINE_DELEGATED))
    ]
    for family in Family:
        names = (offline.layout.role_name(ref) for ref in offline.layout.refs(family))
        bins = [online[name] for name in names if name in online]
        if bins:
            lines.append(
                RoleStatus(
                    name=f"{BIN_PREFIX[family]}-n",
                    version=max(role.version for role in bins),
                    expires=min(role.expires for role in bins),
                    count=len(bins),
                )
            )
    lines += [
        RoleStatus(name=name, version=online[name].version, expires=online[name].expires)
        for name in (SNAPSHOT, TIMESTAMP)
        if name in online
    ]
    return lines
