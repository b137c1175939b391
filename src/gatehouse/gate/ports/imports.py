"""Imports of targets from a list: how far each has come, and where rows wait in the order of their bins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportCounts:
    """What became of rows: `unchanged` ones were there already, with the same content."""

    loaded: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: int = 0

    def __add__(self, other: ImportCounts) -> ImportCounts:
        """Both together."""
        return ImportCounts(
            loaded=self.loaded + other.loaded,
            replaced=self.replaced + other.replaced,
            unchanged=self.unchanged + other.unchanged,
            refused=self.refused + other.refused,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetImport:
    """An import: what it imports, as a digest in hexadecimal, and how far it has come.

    `cursor` counts the bins, in order, whose rows are all done.
    """

    id: int
    input: str
    started_at: datetime
    finished_at: datetime | None
    cursor: int
    counts: ImportCounts


class Imports(Protocol):
    """The imports of this index."""

    def unfinished(self, digest: str) -> TargetImport | None:
        """The newest import of this input, if it was not finished."""
        ...

    def begin(self, digest: str, *, at: datetime) -> TargetImport:
        """Record a new import."""
        ...

    def advance(self, run: TargetImport, *, cursor: int, counts: ImportCounts) -> TargetImport:
        """Say that an import has come to a bin, with these rows since it was read.

        Raises:
            OperatorError: somebody else has brought it further, or finished it.
        """
        ...

    def finish(self, run: TargetImport, *, at: datetime) -> None:
        """Say that nothing of it is left to do."""
        ...

    def newest(self, *, limit: int) -> list[TargetImport]:
        """The newest imports, newest first."""
        ...


class Spool(Protocol):
    """Rows on their way, in numbered parts. It is empty at first, and is not kept."""

    def put(self, part: int, lines: Iterable[bytes]) -> None:
        """Add lines to a part, each without its end.

        Raises:
            StoreError: there is no space for them.
        """
        ...

    def take(self, part: int) -> list[bytes]:
        """All lines of a part, in no order.

        Raises:
            StoreError: they cannot be read.
        """
        ...
