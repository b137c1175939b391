"""Transactions, and all that can be done in one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from gatehouse.gate.ports.accounts import AccountStore
from gatehouse.gate.ports.catalog import CatalogStore
from gatehouse.gate.ports.checks import CheckStore, RunStore
from gatehouse.gate.ports.fingerprints import FingerprintStore
from gatehouse.gate.ports.imports import Imports
from gatehouse.gate.ports.keeping import Keeping
from gatehouse.gate.ports.screening import ScreeningStore
from gatehouse.gate.ports.settled import SettledFindings
from gatehouse.gate.ports.signing import Journal, SigningStore
from gatehouse.gate.ports.staff import AuditLog, StaffStore
from gatehouse.gate.ports.summaries import SummaryStore
from gatehouse.gate.ports.work import Leases, Outbox


class Transaction(Protocol):
    """One transaction and all that can be done in it."""

    @property
    def catalog(self) -> CatalogStore:
        """Projects, releases and files."""
        ...

    @property
    def accounts(self) -> AccountStore:
        """Who may upload."""
        ...

    @property
    def journal(self) -> Journal:
        """The journal of target changes."""
        ...

    @property
    def signing(self) -> SigningStore:
        """Targets, roles and publications."""
        ...

    @property
    def leases(self) -> Leases:
        """Leases with fencing epochs."""
        ...

    @property
    def keeping(self) -> Keeping:
        """Whole tables, for cleaning up, proving and rebuilding."""
        ...

    @property
    def imports(self) -> Imports:
        """Imports of targets from lists."""
        ...

    @property
    def screening(self) -> ScreeningStore:
        """Screenings and decisions."""
        ...

    @property
    def summaries(self) -> SummaryStore:
        """What later releases are compared with."""
        ...

    @property
    def fingerprints(self) -> FingerprintStore:
        """What ties files to their near-copies."""
        ...

    @property
    def settled(self) -> SettledFindings:
        """What people let through."""
        ...

    @property
    def checks(self) -> CheckStore:
        """The life of checks, and what it is judged by."""
        ...

    @property
    def runs(self) -> RunStore:
        """Runs of checks over what the index holds."""
        ...

    @property
    def staff(self) -> StaffStore:
        """Who may log in."""
        ...

    @property
    def audit(self) -> AuditLog:
        """The log of the administration."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Work decided on in this transaction."""
        ...


class Database(Protocol):
    """Opens transactions. Leaving one by an exception rolls it back whole."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one consistent state and writes nothing."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that is durable when the block ends."""
        ...
