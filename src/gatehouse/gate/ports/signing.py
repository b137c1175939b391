"""The journal of target changes, and what was signed of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, Target, TargetChange


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
