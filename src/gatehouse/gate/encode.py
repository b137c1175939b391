"""What goes out compressed is compressed once, and kept.

- Only what never changes under its name comes here: versioned metadata, and pages by their digest. So a form is
  right for ever, and nothing is ever invalidated.
- Who asks first makes the form; who asks meanwhile waits for it and makes none (single flight).
- A form that could not be kept is served all the same, and made again when memory has forgotten it.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

import brotli  # type: ignore[import-untyped]  # ships no types
import structlog

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import StoreError
from gatehouse.gate.ports import Coding, Encoded, KeptEncodings

#: Smaller ones, in bytes, are made again sooner than a file is opened.
KEEP_FROM = 16 * 1024
#: Beyond this many bytes haste counts more than size: a list of all names has tens of megabytes.
_LARGE = 4 * 1024**2
# 16 more than the largest window: zlib writes a gzip header, and one without a time.
_GZIP_WBITS = 31
log = structlog.get_logger(__name__)

_Key = tuple[str, Coding]


def compress(data: bytes, coding: Coding) -> bytes:
    """The compressed form; the same bytes for the same input."""
    large = len(data) > _LARGE
    if coding is Coding.BROTLI:
        compressed: bytes = brotli.compress(data, quality=1 if large else 5)
        return compressed
    return zlib.compress(data, 1 if large else 6, _GZIP_WBITS)


@dataclass(kw_only=True, slots=True)
class Encodings:
    """Makes compressed forms, keeps them, and remembers those asked for last. Safe for many threads.

    Attributes:
        kept: where forms lie from start to start.
        memory: the most bytes of forms to remember.
    """

    kept: KeptEncodings
    memory: int = 64 * 1024**2
    _lock: Lock = field(default_factory=Lock, init=False)
    _remembered: OrderedDict[_Key, Encoded] = field(default_factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)
    _flights: dict[_Key, Future[Encoded | None]] = field(default_factory=dict, init=False)

    def get(
        self, name: str, coding: Coding, read: Callable[[], bytes | None], *, keep: bool = True
    ) -> Encoded | None:
        """The compressed form of what lies under a name.

        Args:
            name: under which nothing else was ever or will ever be.
            coding: how to compress.
            read: gives the bytes, or None if there are none; not called if the form is there.
            keep: whether the form is worth more than memory; if not, it is never sought there either.

        Returns:
            The form, or None if there is nothing under the name.

        Raises:
            StoreError: it could not be read.
        """
        key = (name, coding)
        with self._lock:
            if (known := self._remembered.get(key)) is not None:
                self._remembered.move_to_end(key)
                return known
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if mine:
            self._fly(key, flight, read, keep=keep)
        return flight.result()

    def _fly(
        self, key: _Key, flight: Future[Encoded | None], read: Callable[[], bytes | None], *, keep: bool
    ) -> None:
        try:
            encoded = self._find_or_make(*key, read, keep=keep)
        except BaseException as error:  # noqa: BLE001 -- it is raised again, here and for everybody who waits
            self._land(key, None)
            flight.set_exception(error)
        else:
            self._land(key, encoded)
            flight.set_result(encoded)

    def _land(self, key: _Key, encoded: Encoded | None) -> None:
        with self._lock:
            del self._flights[key]
            if encoded is None or len(encoded.data) > self.memory:
                return
            self._remembered[key] = encoded
            self._size += len(encoded.data)
            while self._size > self.memory:
                _, forgotten = self._remembered.popitem(last=False)
                self._size -= len(forgotten.data)

    def _find_or_make(
        self, name: str, coding: Coding, read: Callable[[], bytes | None], *, keep: bool
    ) -> Encoded | None:
        if keep and (found := self._load(name, coding)) is not None:
            return found
        if (data := read()) is None:
            return None
        encoded = Encoded(data=compress(data, coding), of_sha256=sha256_hex(data))
        if keep and len(data) >= KEEP_FROM:
            self._keep(name, coding, encoded)
        return encoded

    # What keeps forms is a cache: its faults cost time, and the operator is told, but no client is refused.

    def _load(self, name: str, coding: Coding) -> Encoded | None:
        try:
            return self.kept.load(name, coding)
        except StoreError as error:
            log.warning("a compressed form could not be read", name=name, coding=coding.value, exc_info=error)
            return None

    def _keep(self, name: str, coding: Coding, encoded: Encoded) -> None:
        try:
            self.kept.keep(name, coding, encoded)
        except StoreError as error:
            log.warning("a compressed form could not be kept", name=name, coding=coding.value, exc_info=error)
