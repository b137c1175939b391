"""Bytes by SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol, Self

from gatehouse.core.digests import Digests


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
