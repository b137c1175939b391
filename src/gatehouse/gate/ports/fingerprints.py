"""What ties files to their near-copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gatehouse.malware.model import Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class NearCopies:
    """The other files that share a fingerprint's key: how many, and how many of them a person removed last."""

    files: int = 0
    removed: int = 0


class FingerprintStore(Protocol):
    """The fingerprints of files in which something was found. They can be made again by screening again."""

    def keep(self, subject: Subject, fingerprint: Sequence[int]) -> None:
        """Keep the fingerprint of a file whose screening is recorded, beside the keys that it has."""
        ...

    def near_copies(self, subject: Subject, fingerprint: Sequence[int] | None = None) -> NearCopies:
        """The near-copies of a file, by this fingerprint; without one, by what is kept of it."""
        ...

    def list_near_copies(self, subject: Subject, *, limit: int, offset: int = 0) -> list[Subject]:
        """The near-copies of a file, by what is kept of it: those that were seen last come first."""
        ...
