"""What the signing wing asks of the world. Storage implements it and passes the contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

#: Takes a versioned file's name and bytes before it is created; see `MetadataStore.staging`.
Stage = Callable[[str, bytes], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file in the store, as a listing shows it: `size` in bytes."""

    name: str
    size: int


class MetadataStore(Protocol):
    """Holds metadata files by name.

    Versioned files are created once and never change. `timestamp.json` alone moves, and only by the holder of
    the newest epoch.
    """

    def probe(self) -> None:
        """Prove that the store keeps its promises (creates only if absent, moves by compare-and-swap).

        Raises:
            StoreError: it does not, or cannot be written.
        """
        ...

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Create files durably: all are on disk when this returns. One that exists with equal content is success.

        Raises:
            StoreError: a file exists with other content (nothing is overwritten), or the store cannot be written.
        """
        ...

    def staging(self) -> AbstractContextManager[Stage]:
        """A block in which files that may be created are handed over ahead, so that `create` finds them written.

        Only about speed: what is staged is seen by nobody and is gone when the block ends. Many threads may stage;
        one block at a time is open.

        Raises:
            StoreError: the store cannot be written; staging raises it too.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None if there is none (or the name is not one of a metadata file)."""
        ...

    def expect(self, name: str) -> None:
        """A file will be read soon: a store may have its disk begin. Only about speed; nothing is raised."""
        ...

    def files(self) -> Iterator[StoredFile]:
        """Every metadata file, in no order, as a stream: there may be millions. Not for a publication's path.

        Raises:
            StoreError: the store cannot be listed.
        """
        ...

    def delete(self, names: Iterable[str]) -> int:
        """Delete versioned files; one that is gone already is success. How many went.

        Raises:
            StoreError: a name is a root's or the timestamp's (then nothing of this call is deleted that comes
                after it), or the store cannot be written.
        """
        ...

    def epoch(self) -> int:
        """The newest epoch that has fenced the store; 0 before the first.

        Raises:
            StoreError: what the store keeps there is not an epoch.
        """
        ...

    def fence(self, epoch: int) -> None:
        """From now on refuse to move the timestamp for any epoch below this one.

        Raises:
            LeaseLost: a higher epoch has fenced the store already.
        """
        ...

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        """Replace `timestamp.json` atomically and durably.

        Raises:
            LeaseLost: a higher epoch has fenced the store.
            StoreError: the store cannot be written; the timestamp is then the old one, whole.
        """
        ...
