"""Digests of streams and of bytes, computed in one pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """What PyPI's upload API may state of a file, in lower-case hexadecimal, and its length in bytes."""

    sha256: str
    md5: str
    blake2_256: str
    length: int


class Digester:
    """Takes a file's bytes as they come and knows all three digests at the end."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        # MD5 only because the upload API lets a client state one; nothing trusts it.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake2 = hashlib.blake2b(digest_size=32)
        self._length = 0

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self._blake2.update(chunk)
        self._length += len(chunk)

    @property
    def length(self) -> int:
        """How many bytes have come."""
        return self._length

    def digests(self) -> Digests:
        """The digests of all bytes so far."""
        return Digests(
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            blake2_256=self._blake2.hexdigest(),
            length=self._length,
        )


def sha256_hex(data: bytes) -> str:
    """SHA-256 of some bytes, in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
