"""What the stories ask of the world, as small Protocols. Storage and sandbox implement them. All times are UTC."""

from gatehouse.gate.ports.accounts import Account, AccountStore, Background, TokenRecord
from gatehouse.gate.ports.blobs import Blobs, IncomingBlob
from gatehouse.gate.ports.catalog import CatalogStore
from gatehouse.gate.ports.checks import (
    CheckStore,
    Costs,
    CostShare,
    Counts,
    NewRun,
    Piece,
    ReplayDifference,
    Run,
    RunKind,
    RunState,
    RunStore,
    TimetableRun,
)
from gatehouse.gate.ports.database import Database, Transaction
from gatehouse.gate.ports.encodings import Coding, Encoded, KeptEncodings
from gatehouse.gate.ports.fingerprints import FingerprintStore, NearCopies
from gatehouse.gate.ports.imports import ImportCounts, Imports, Spool, TargetImport
from gatehouse.gate.ports.purging import Purger
from gatehouse.gate.ports.sandbox import Screener
from gatehouse.gate.ports.screening import TIMETABLE, Action, Decision, ScreeningRecord, ScreeningStore, Waiting
from gatehouse.gate.ports.settled import SettledFindings
from gatehouse.gate.ports.signing import (
    Covering,
    Journal,
    JournalEntry,
    Publication,
    RefusedChange,
    RoleSummary,
    SigningStore,
)
from gatehouse.gate.ports.staff import AuditEntry, AuditLog, StaffMember, StaffSession, StaffStore
from gatehouse.gate.ports.summaries import Cleared, SummaryStore
from gatehouse.gate.ports.work import PUBLISHER_LEASE, DeadLetter, Lease, Leases, Message, Outbox

__all__ = [
    "PUBLISHER_LEASE",
    "TIMETABLE",
    "Account",
    "AccountStore",
    "Action",
    "AuditEntry",
    "AuditLog",
    "Background",
    "Blobs",
    "CatalogStore",
    "CheckStore",
    "Cleared",
    "Coding",
    "CostShare",
    "Costs",
    "Counts",
    "Covering",
    "Database",
    "DeadLetter",
    "Decision",
    "Encoded",
    "FingerprintStore",
    "ImportCounts",
    "Imports",
    "IncomingBlob",
    "Journal",
    "JournalEntry",
    "KeptEncodings",
    "Lease",
    "Leases",
    "Message",
    "NearCopies",
    "NewRun",
    "Outbox",
    "Piece",
    "Publication",
    "Purger",
    "RefusedChange",
    "ReplayDifference",
    "RoleSummary",
    "Run",
    "RunKind",
    "RunState",
    "RunStore",
    "Screener",
    "ScreeningRecord",
    "ScreeningStore",
    "SettledFindings",
    "SigningStore",
    "Spool",
    "StaffMember",
    "StaffSession",
    "StaffStore",
    "SummaryStore",
    "TargetImport",
    "TimetableRun",
    "TokenRecord",
    "Transaction",
    "Waiting",
]
