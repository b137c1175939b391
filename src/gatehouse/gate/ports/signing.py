"""The journal of target changes, and what was signed of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gatehouse.tuf.model import BinRef, OfflineMetadata, OnlineRole, RawTarget, Target, TargetChange, TargetColumns


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A target change in the journal, in the order in which the changes of one path were made."""

    id: int
    at: datetime
    bin: BinRef
    change: TargetChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """One publication: committed before anything of it is visible, published when its timestamp has moved.

    A *chunk* is one of bins alone, signed ahead of a first snapshot that is too large to be made at once: its two
    versions are 0, and it is published when its bins are stored.
    """

    id: int
    epoch: int
    snapshot_version: int
    timestamp_version: int
    reason: str
    changes: int
    committed_at: datetime
    published_at: datetime | None
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedChange:
    """A change that can never be published as it stands, set aside so that it keeps no other waiting."""

    entry: JournalEntry
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Covering:
    """How far the newest change of a path has come.

    `publication` is what took it: None while it is pending, and not yet published while that is `None` in
    `publication.published_at`. `refused` says why it never will be, if so.
    """

    entry: JournalEntry
    publication: Publication | None
    refused: str | None


class Journal(Protocol):
    """The append-only list of target changes. An entry gets its publication once and never changes otherwise."""

    def append(self, changes: Sequence[tuple[BinRef, TargetChange]], *, at: datetime) -> None:
        """Append changes."""
        ...

    def pending(self, *, limit: int) -> list[JournalEntry]:
        """The oldest entries that no publication has taken, in order; refused ones are left out."""
        ...

    def count_pending(self) -> int:
        """How many entries no publication has taken; refused ones do not count."""
        ...

    def refuse(self, reasons: Mapping[int, str], *, at: datetime) -> None:
        """Set entries aside for good, by id, each with its reason. Again keeps the first reason."""
        ...

    def refused(self, *, limit: int) -> list[RefusedChange]:
        """The newest entries that were set aside, newest first."""
        ...

    def count_refused(self) -> int:
        """How many entries were set aside."""
        ...

    def covering(self, path: str) -> Covering | None:
        """How far the newest change of a path has come; None: it never changed (a bulk import leaves no entry)."""
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
class RoleSummary:
    """Online roles of one kind: one role, or bins whose names differ in their digits alone.

    `first` is the lowest of their names, `version` the highest version, `expires` the earliest end.
    """

    first: str
    version: int
    expires: datetime
    count: int


class SigningStore(Protocol):
    """Targets by bin, the state of every role, and the publications."""

    def find_target(self, path: str, bin_ref: BinRef) -> Target | None:
        """A target as committed, or None."""
        ...

    def apply(self, changes: Sequence[tuple[BinRef, TargetChange]]) -> None:
        """Set and remove targets; the last change of a path wins."""
        ...

    def touch_targets(self, keys: Sequence[tuple[BinRef, str]]) -> None:
        """Read what `apply` will look at for these targets, whether they are there or not; nothing comes of it.

        The database then has it in memory and need not fetch it, row after row, while a commit waits.
        """
        ...

    def bins(self, refs: Collection[BinRef]) -> dict[BinRef, list[Target]]:
        """All targets of each of these bins, sorted by path; an empty bin has an empty list."""
        ...

    def raw_targets(self, refs: Collection[BinRef]) -> Iterator[tuple[BinRef, Sequence[RawTarget]]]:
        """The targets of each of these bins that has any, sorted by path, as a stream: there may be millions."""
        ...

    def target_columns(self, refs: Collection[BinRef]) -> Iterator[tuple[BinRef, TargetColumns]]:
        """The targets of each of these bins that has any, by column, sorted by path, as a stream."""
        ...

    def load_targets(self, bins: Mapping[BinRef, Sequence[RawTarget]]) -> None:
        """Set targets of some bins past the journal, fast, and mark those dirty: the publisher renders them anew.

        Batches of ten thousand rows do well: the publisher waits meanwhile. That each path is whole and in its
        bin is the caller's to prove.

        Raises:
            InvalidName: a path has characters outside the grammar of target paths.
            Conflict: a publication is committed and not yet published; its bins must not change. Try again.
            InternalError: a path stands in the batch twice.
        """
        ...

    def mark_dirty(self, refs: Collection[BinRef]) -> None:
        """Say that the targets of these bins are no longer those that their files list."""
        ...

    def dirty_bins(self, *, limit: int) -> dict[BinRef, int]:
        """Some of the dirty bins, each with a mark that changes whenever the bin is marked again."""
        ...

    def dirty_marks(self, refs: Collection[BinRef]) -> dict[BinRef, int]:
        """The marks of those of these bins that are dirty."""
        ...

    def settle_dirty(self, marks: Mapping[BinRef, int | None]) -> list[BinRef]:
        """These bins are rendered anew as of these marks (None: there was none).

        Returns:
            Those that were marked again meanwhile; if there are any, nothing was changed.
        """
        ...

    def count_targets(self) -> int:
        """How many targets there are."""
        ...

    def offline_metadata(self) -> list[OfflineMetadata]:
        """All offline metadata, by role and version."""
        ...

    def offline_marker(self) -> tuple[int, int]:
        """What changes whenever offline metadata is added, and costs nothing to read."""
        ...

    def offline_added(self) -> dict[tuple[str, int], datetime]:
        """When each version of offline metadata was added, by role and version."""
        ...

    def add_offline_metadata(self, items: Sequence[OfflineMetadata], *, at: datetime) -> None:
        """Add versions. A (role, version) that exists is an IntegrityError of ours: InternalError."""
        ...

    def online_roles(self, *, only: Collection[str] | None = None) -> dict[str, OnlineRole]:
        """The committed state of every online role, or of some few, by name."""
        ...

    def role_summary(self) -> list[RoleSummary]:
        """The online roles by kind, the bins of a family as one: for whoever looks often."""
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
        """Record a publication as committed; its id.

        `roles` are the online roles that it signs anew. Both versions are 0 for a chunk.
        """
        ...

    def unpublished(self) -> Publication | None:
        """The publication that is committed and not published; there is never more than one."""
        ...

    def mark_published(self, publication_id: int, *, at: datetime) -> None:
        """The timestamp has moved."""
        ...

    def last_publication(self) -> Publication | None:
        """The newest publication that is no chunk."""
        ...
