"""What the stories ask of the world, as small Protocols. Storage and sandbox implement them. All times are UTC."""

from gatehouse.gate.ports.accounts import Account, AccountStore, TokenRecord
from gatehouse.gate.ports.blobs import Blobs, IncomingBlob
from gatehouse.gate.ports.catalog import CatalogStore
from gatehouse.gate.ports.database import Database, Transaction
from gatehouse.gate.ports.purging import Purger
from gatehouse.gate.ports.sandbox import Screener
from gatehouse.gate.ports.screening import Action, Decision, ScreeningRecord, ScreeningStore, Waiting
from gatehouse.gate.ports.signing import Journal, JournalEntry, Publication, SigningStore
from gatehouse.gate.ports.staff import AuditEntry, AuditLog, StaffMember, StaffSession, StaffStore
from gatehouse.gate.ports.work import Lease, Leases, Message, Outbox

__all__ = [
    "Account",
    "AccountStore",
    "Action",
    "AuditEntry",
    "AuditLog",
    "Blobs",
    "CatalogStore",
    "Database",
    "Decision",
    "IncomingBlob",
    "Journal",
    "JournalEntry",
    "Lease",
    "Leases",
    "Message",
    "Outbox",
    "Publication",
    "Purger",
    "Screener",
    "ScreeningRecord",
    "ScreeningStore",
    "SigningStore",
    "StaffMember",
    "StaffSession",
    "StaffStore",
    "TokenRecord",
    "Transaction",
    "Waiting",
]
