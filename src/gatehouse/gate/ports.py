"""What the stories ask of the world: a database in transactions, and blobs by digest.

Storage implements these Protocols. All times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from gatehouse.catalog.model import (
    Event,
    File,
    FileState,
    NewFile,
    PageFile,
    Project,
    ProjectStatus,
    Release,
    ServedPage,
)
from gatehouse.core.digests import Digests
from gatehouse.core.names import PageFormat
from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, Target, TargetChange

# --- the catalog -----------------------------------------------------------------------------------------------


class CatalogStore(Protocol):
    """Projects, releases, files of the local source."""

    def find_project(self, name: str, *, lock: bool = False) -> Project | None:
        """A project by normalized name; with `lock`, nobody else changes it until this transaction ends."""
        ...

    def add_project(self, *, name: str, display_name: str, at: datetime) -> Project:
        """A new project, locked. If another transaction added it meanwhile, that one, locked."""
        ...

    def set_project_status(self, project_id: int, status: ProjectStatus, reason: str | None) -> None:
        """Change a project's PEP 792 status."""
        ...

    def find_release(self, project_id: int, version: str) -> Release | None:
        """A release by canonical version."""
        ...

    def add_release(self, project_id: int, version: str, *, at: datetime) -> Release:
        """A new release of a locked project."""
        ...

    def set_yanked(self, release_id: int, *, at: datetime | None, reason: str | None) -> None:
        """Yank a release (PEP 592), or with `at=None` take the yank back."""
        ...

    def find_file(self, filename: str) -> File | None:
        """A file by filename, whatever its state."""
        ...

    def find_file_by_identity(self, identity: str) -> File | None:
        """A file by the identity that its spellings share, whatever its state."""
        ...

    def get_files(self, ids: Collection[int]) -> list[File]:
        """Files by id, in the order of their ids; unknown ids are left out."""
        ...

    def files_of(self, project_id: int, *, version: str | None = None) -> list[File]:
        """All files of a project (or of one release), whatever their state, in the order of their ids."""
        ...

    def add_file(self, file: NewFile, *, at: datetime) -> File:
        """A new file in state `accepted`. `at` becomes its `uploaded_at`."""
        ...

    def set_file_state(self, ids: Collection[int], state: FileState, *, at: datetime) -> None:
        """Move files to a state."""
        ...

    def page_files(self, project_id: int) -> list[PageFile]:
        """What the project's pages list: its files in state `published`."""
        ...

    def served_page(self, name: str, page: PageFormat) -> ServedPage | None:
        """The page that is served now, or None if the project has none."""
        ...

    def set_served_page(self, name: str, page: PageFormat, served: ServedPage | None) -> None:
        """Serve this blob as the project's page from now on; None: the project has no page."""
        ...

    def served_projects(self) -> list[str]:
        """The normalized names of all projects that have a page, sorted."""
        ...

    def record(self, event: Event) -> None:
        """Append an event."""
        ...


# --- who may upload --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Somebody who uploads."""

    id: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRecord:
    """What the database knows of a token: never enough to make one."""

    id: str
    account: Account
    description: str
    created_at: datetime
    expires_at: datetime | None
    projects: tuple[str, ...]
    revoked_at: datetime | None
    last_used_at: datetime | None


class AccountStore(Protocol):
    """Accounts, their tokens, and which projects they own."""

    def ensure_account(self, name: str, *, at: datetime) -> Account:
        """The account of that name, made if there is none."""
        ...

    def add_token(
        self,
        *,
        token_id: str,
        account: Account,
        description: str,
        projects: Sequence[str],
        expires_at: datetime | None,
        at: datetime,
    ) -> TokenRecord:
        """Record a new token."""
        ...

    def find_token(self, token_id: str) -> TokenRecord | None:
        """A token by its id, revoked ones too."""
        ...

    def list_tokens(self) -> list[TokenRecord]:
        """All tokens, oldest first."""
        ...

    def revoke_token(self, token_id: str, *, at: datetime) -> bool:
        """Revoke a token; False if there is no such token. Revoking twice keeps the first time."""
        ...

    def touch_token(self, token_id: str, *, at: datetime) -> None:
        """Note that a token was used."""
        ...

    def owns(self, account_id: int, project_id: int) -> bool:
        """Whether the account is an owner of the project."""
        ...

    def add_owner(self, account_id: int, project_id: int) -> None:
        """Make the account an owner of the project; again is no change."""
        ...


# --- the journal of target changes, and what was signed of it ----------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A target change in the journal, in the order in which the changes of one path were made."""

    id: int
    at: datetime
    bin: BinRef
    change: TargetChange


class Journal(Protocol):
    """The append-only list of target changes. An entry gets its publication once and never changes otherwise."""

    def append(self, changes: Sequence[tuple[BinRef, TargetChange]], *, at: datetime) -> None:
        """Append changes."""
        ...

    def pending(self, *, limit: int) -> list[JournalEntry]:
        """The oldest entries that no publication has taken, in order."""
        ...

    def count_pending(self) -> int:
        """How many entries no publication has taken."""
        ...

    def assign(self, ids: Collection[int], publication_id: int) -> None:
        """Say which publication took these entries."""
        ...

    def taken_by(self, publication_id: int) -> list[JournalEntry]:
        """The entries that a publication took, in order."""
        ...

    def ever_held(self, path: str, sha256: str) -> bool:
        """Whether this content was ever journalled for this path."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """One publication: committed before anything of it is visible, published when its timestamp has moved."""

    id: int
    epoch: int
    snapshot_version: int
    timestamp_version: int
    reason: str
    changes: int
    committed_at: datetime
    published_at: datetime | None
    roles: tuple[str, ...]


class SigningStore(Protocol):
    """Targets by bin, the state of every role, and the publications."""

    def find_target(self, path: str, bin_ref: BinRef) -> Target | None:
        """A target as committed, or None."""
        ...

    def apply(self, changes: Sequence[tuple[BinRef, TargetChange]]) -> None:
        """Set and remove targets; the last change of a path wins."""
        ...

    def bins(self, refs: Collection[BinRef]) -> dict[BinRef, list[Target]]:
        """All targets of each of these bins, sorted by path; an empty bin has an empty list."""
        ...

    def count_targets(self) -> int:
        """How many targets there are."""
        ...

    def offline_metadata(self) -> list[OfflineMetadata]:
        """All offline metadata, by role and version."""
        ...

    def add_offline_metadata(self, items: Sequence[OfflineMetadata], *, at: datetime) -> None:
        """Add versions. A (role, version) that exists is an IntegrityError of ours: InternalError."""
        ...

    def online_roles(self) -> dict[str, OnlineRole]:
        """The committed state of every online role, by name."""
        ...

    def put_online_roles(self, roles: Sequence[OnlineRole], *, publication_id: int) -> None:
        """Replace the state of these roles."""
        ...

    def add_publication(
        self,
        *,
        epoch: int,
        snapshot_version: int,
        timestamp_version: int,
        reason: str,
        changes: int,
        roles: Sequence[str],
        at: datetime,
    ) -> int:
        """Record a publication as committed; its id. `roles` are the online roles that it signs anew."""
        ...

    def unpublished(self) -> Publication | None:
        """The publication that is committed and not published; there is never more than one."""
        ...

    def mark_published(self, publication_id: int, *, at: datetime) -> None:
        """The timestamp has moved."""
        ...

    def last_publication(self) -> Publication | None:
        """The newest publication."""
        ...


# --- leases and the outbox -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to do what only one may do, for a while. A higher epoch ends it at once."""

    name: str
    holder: str
    epoch: int
    expires_at: datetime


class Leases(Protocol):
    """Leases with fencing epochs. An epoch grows with every change of holder and never repeats."""

    def acquire(
        self, name: str, holder: str, *, ttl: timedelta, now: datetime, steal: bool = False
    ) -> Lease | None:
        """Take the lease if it is free or has ended (or, with `steal`, in any case). None: another holds it."""
        ...

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease:
        """Hold it longer.

        Raises:
            LeaseLost: another has it.
        """
        ...

    def check(self, lease: Lease) -> None:
        """Prove, inside this transaction, that the lease is still held; nobody can take it before the commit.

        Raises:
            LeaseLost: another has it.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Give it back, if it is still held."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A piece of work that was decided in a transaction and is done after it, at least once."""

    id: int
    topic: str
    payload: Mapping[str, Any]
    created_at: datetime
    attempts: int


class Outbox(Protocol):
    """Work to do, written in the transaction that decides on it."""

    def add(self, topic: str, payload: Mapping[str, Any], *, at: datetime) -> None:
        """Add a message."""
        ...

    def claim(self, topics: Collection[str], *, limit: int, now: datetime, lease: timedelta) -> list[Message]:
        """Take the oldest messages that are due and that nobody works on; they come back when `lease` ends.

        `attempts` counts this claim.
        """
        ...

    def unclaim(self) -> None:
        """Let go of every claim: for a process that knows itself the only one, after its predecessor died."""
        ...

    def done(self, ids: Collection[int]) -> None:
        """These are finished."""
        ...

    def fail(self, message_id: int, error: str, *, retry_at: datetime | None) -> None:
        """It failed: try again at `retry_at`; None: never again, it stays as a dead letter with its error."""
        ...

    def count(self) -> tuple[int, int]:
        """How many wait, and how many are dead letters."""
        ...


# --- the database ----------------------------------------------------------------------------------------------


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


# --- blobs -----------------------------------------------------------------------------------------------------


class IncomingBlob(Protocol):
    """Bytes on their way in. Leaving its context without `keep` leaves nothing."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> Digests:
        """All bytes have come: make them durable under their temporary name; their digests."""
        ...

    @property
    def path(self) -> Path:
        """Where the bytes lie for reading after `finish`, until the context ends."""
        ...

    def keep(self) -> None:
        """Give the bytes their name by digest, durably; if that blob exists, that is success."""
        ...


class Blobs(Protocol):
    """Bytes by SHA-256. A blob never changes."""

    def receive(self) -> IncomingBlob:
        """Begin to take bytes."""
        ...

    def put(self, data: bytes) -> str:
        """Keep these bytes durably; their SHA-256 in hexadecimal."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob.

        Raises:
            NotFound: there is none.
        """
        ...

    def size(self, sha256: str) -> int | None:
        """Its length in bytes, or None if there is none."""
        ...
