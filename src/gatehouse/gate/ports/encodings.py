"""Compressed forms that are kept, so that each is made once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Coding(StrEnum):
    """A content coding (RFC 9110 §8.4.1), in the order of our preference among what a client likes equally."""

    BROTLI = "br"
    GZIP = "gzip"

    @property
    def suffix(self) -> str:
        """What the name of a kept form ends with."""
        return ".br" if self is Coding.BROTLI else ".gz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A compressed form, and the SHA-256 in lower-case hexadecimal of the bytes that it was made of."""

    data: bytes
    of_sha256: str


class KeptEncodings(Protocol):
    """Keeps compressed forms by name and coding. All of it may be lost at any moment: it is made again."""

    def load(self, name: str, coding: Coding) -> Encoded | None:
        """A form as it was kept; None if there is none, or if it is damaged."""
        ...

    def keep(self, name: str, coding: Coding, encoded: Encoded) -> None:
        """Keep a form, in place of one of that name.

        Raises:
            StoreError: it cannot be written; what was kept before is still whole.
        """
        ...
