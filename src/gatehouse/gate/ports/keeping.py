"""What cleaning up, proving and rebuilding ask of the database and of the folders, beyond what publishing asks.

These read and write whole tables. Nothing on the path of an upload or a publication calls them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from gatehouse.catalog.model import ServedPage
from gatehouse.core.names import PageFormat
from gatehouse.tuf.model import BinRef, RawTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicationLine:
    """A publication as a proof reads it: `taken` is how many journal entries say that it took them.

    Both versions of a chunk are 0.
    """

    id: int
    snapshot_version: int
    timestamp_version: int
    changes: int
    taken: int
    published: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFile:
    """A file that the catalog calls published, and the blobs that it must have.

    `external`: they lie elsewhere.
    """

    project: str
    filename: str
    sha256: str
    size: int
    metadata_sha256: str | None
    external: bool


class Keeping(Protocol):
    """Whole tables of the signing state and of the catalog, as streams."""

    def snapshot_at(self, moment: datetime) -> int | None:
        """The version of the snapshot that was live at a moment; None: nothing was published by then."""
        ...

    def last_snapshots(self, count: int) -> list[int]:
        """The versions of the newest published snapshots, newest first, each once; at most `count`."""
        ...

    def named_blobs(self, *, settled_before: datetime) -> Iterator[str]:
        """The digest of every blob that something names, sorted; one may come more than once.

        Named is what a catalog row, a served page, a target or a pending change names, and what was a target until
        less than `settled_before` ago: clients in the middle of a session may still ask for it.
        """
        ...

    def files_with(self, sha256: str) -> list[str]:
        """The projects that have a file of this content or with these bytes as its metadata, sorted, each once."""
        ...

    def is_wanted(self, sha256: str) -> bool:
        """Whether anything but files that were removed or deleted names a blob: as content, metadata or page."""
        ...

    def known_files(self, filenames: Sequence[str]) -> set[str]:
        """Those of these filenames that the catalog has, in whatever state."""
        ...

    def known_projects(self, names: Sequence[str]) -> set[str]:
        """Those of these normalized names that are projects of the catalog."""
        ...

    def published_files(self) -> Iterator[PublishedFile]:
        """Every file that the catalog calls published."""
        ...

    def publications(self, *, last: int | None = None) -> Iterator[PublicationLine]:
        """Publications in their order; `last`: only so many of the newest."""
        ...

    def misplaced_targets(self, counts: Sequence[int]) -> int:
        """How many targets stand in bins that are not there; `counts` are the bins of each family, in order."""
        ...

    def has_signed(self) -> bool:
        """Whether there are online roles, publications or targets."""
        ...

    def clear_signed(self) -> None:
        """Forget all targets, online roles and served pages. Journal, publications and offline metadata stay."""
        ...

    def restore_targets(self, ref: BinRef, rows: Sequence[RawTarget]) -> None:
        """Add the targets of an empty bin, as a file that is in force lists them: it does not become dirty."""
        ...

    def serve_pages(self, pages: Sequence[tuple[str, PageFormat, ServedPage]]) -> int:
        """Serve these pages of these projects; how many belong to a project that the catalog has."""
        ...

    def epoch_of(self, lease: str) -> int:
        """The epoch of the last taking of a lease; 0 if nobody ever took it."""
        ...

    def raise_epoch(self, lease: str, epoch: int) -> None:
        """Let the next taking of a lease have an epoch above this one."""
        ...


class KeptBlobs(Protocol):
    """Blobs as a clean-up sees them."""

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, sorted."""
        ...

    def size(self, sha256: str) -> int | None:
        """A blob's length in bytes, or None if there is none."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob.

        Raises:
            NotFound: there is none.
        """
        ...

    def is_older(self, sha256: str, than: datetime) -> bool:
        """Whether a blob is there and was last kept before a moment."""
        ...

    def remove_old(self, sha256: str, *, older_than: datetime) -> int | None:
        """Remove a blob, unless somebody kept the same bytes since that moment.

        Returns:
            The bytes that it freed; None if it was spared.
        """
        ...


class Sink(Protocol):
    """Takes an archive's bytes."""

    def write(self, data: bytes, /) -> int:
        """Take all of these bytes."""
        ...

    def flush(self) -> None:
        """Part of what a compressor expects."""
        ...


class Archives(Protocol):
    """Where archives of the metadata are written once."""

    def names(self) -> list[str]:
        """The archives there are, by name, sorted."""
        ...

    def create(self, name: str) -> AbstractContextManager[Sink]:
        """Write a new archive: it appears, whole and read-only, when the block ends well, and not otherwise.

        Raises:
            Conflict: there is one of that name.
            StoreError: the folder cannot be written.
        """
        ...
