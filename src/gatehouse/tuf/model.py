"""The nouns of the signing wing, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Self


class Family(IntEnum):
    """The two families of bins (procedure P1). The numbers are stored; never change one."""

    SIMPLE = 1
    FILES = 2


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class BinRef:
    """One bin: its family and its index."""

    family: Family
    index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A target: its path, the SHA-256 of its content in lower-case hexadecimal, and its length in bytes."""

    path: str
    sha256: str
    length: int


#: A target as its row has it: path, the SHA-256 as 32 bytes, length. A tuple, for where there are millions.
RawTarget = tuple[str, bytes, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetColumns:
    """The targets of a bin by column, in one order: a database joins them faster than anybody fetches rows.

    Attributes:
        paths: joined by commas, which no path has, in UTF-8.
        digests: the SHA-256 of each, 32 bytes after 32 bytes.
        lengths: in bytes, decimal, joined by commas.
    """

    paths: bytes
    digests: bytes
    lengths: bytes

    @classmethod
    def of(cls, rows: Sequence[RawTarget]) -> Self:
        """The columns of some rows, one at least."""
        paths, digests, lengths = zip(*rows, strict=True)
        return cls(
            # What cannot be encoded becomes a question mark, which no path has either.
            paths=",".join(paths).encode("utf-8", "replace"),
            digests=b"".join(digests),
            lengths=",".join(map(str, lengths)).encode(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChange:
    """A change of one target: `target` is its new content, None removes it. `cause` is a word for the journal."""

    path: str
    target: Target | None
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineRole:
    """The committed state of an online role: enough to render the same bytes again.

    `signatures` are (key id, hexadecimal signature) pairs; `sha256` and `length` are those of the file as stored.
    """

    name: str
    version: int
    expires: datetime
    signatures: tuple[tuple[str, str], ...]
    sha256: str
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineMetadata:
    """One version of a role that is signed offline, whole."""

    role: str
    version: int
    data: bytes

    @property
    def filename(self) -> str:
        """Its name in the repository, `<version>.<role>.json`."""
        return f"{self.version}.{self.role}.json"
