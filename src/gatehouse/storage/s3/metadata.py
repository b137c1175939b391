"""TUF metadata in a bucket: implements `tuf.ports.MetadataStore` (ADR 0023).

    <prefix>/<version>.<role>.json   created once: `If-None-Match: *`
    <prefix>/timestamp.json          moved by `If-Match`, by the newest epoch only
    <prefix>/.store/epoch            the newest epoch, moved by `If-Match` too, upwards only

No lock spans two objects, so the order of three requests does what the folder's lock does: a publisher knows the
state of the timestamp, **then** reads the epoch, **then** replaces that state and no other. A write of an older
epoch that was on its way when the fence rose can therefore land only before the new holder's first move, never
after one; and what lands are bytes that were committed, which the new holder finds in the database and would have
written itself. Timestamps never return to former bytes, so a tag never names two moments.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from threading import Lock

from gatehouse.core.errors import LeaseLost, StoreError
from gatehouse.storage.blobs.metadata_names import TIMESTAMP, is_deletable, is_metadata, is_versioned
from gatehouse.storage.s3.bucket import Bucket, Read
from gatehouse.tuf.ports import Stage, StoredFile

#: What caches that read the bucket itself are told; the same as the web says (`web.tuf`).
_IMMUTABLE = {"ContentType": "application/json", "CacheControl": "public, max-age=31536000, immutable"}
_MOVING = {"ContentType": "application/json", "CacheControl": "public, max-age=5"}
_PRIVATE = {"ContentType": "text/plain", "CacheControl": "no-store"}
_STATE = ".store"
#: How many files are written at a time.
THREADS = 32
#: How often a write that others disturb is tried. More than one disturbance a time is no race any more.
_TRIES = 5


class S3MetadataStore:
    """Metadata files by name, in a bucket. Safe for many threads, processes and machines."""

    def __init__(self, bucket: Bucket, prefix: str = "", *, threads: int = THREADS) -> None:
        """Nothing is asked of the bucket yet.

        Args:
            bucket: where objects lie.
            prefix: what their keys begin with, without slashes at its ends; empty: nothing.
            threads: how many files are written at a time.
        """
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._threads = threads
        self._lock = Lock()
        # The state of the timestamp as this publisher knows it; None: there is none.
        self._known: str | None = None
        self._knows = False

    def probe(self) -> None:
        """Prove that the bucket keeps the store's promises.

        Raises:
            StoreError: it does not, or cannot be written, read and listed.
        """
        key = f"{self._state}probe-{secrets.token_hex(8)}"
        if self._bucket.get(key) is not None:
            raise StoreError("The metadata bucket answers with objects that were never written.")
        try:
            self._probe_conditions(key)
            if [item.key for item in self._bucket.list(key)] != [key]:
                raise StoreError("The metadata bucket does not list what was written.")
        finally:
            self._bucket.delete([key])
        if self._bucket.get(key) is not None:
            raise StoreError("The metadata bucket does not delete.")

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Create files durably, many at a time; one that exists with equal content is success.

        The files are taken as they are written, so they may be more than memory holds. After an error some of them
        are there: whole, and named by nothing.

        Raises:
            StoreError: a name is not one of versioned metadata, a file exists with other content, or the bucket
                cannot be written.
        """
        rest = iter(files)
        first = list(islice(rest, 2))
        if len(first) == 1:
            self._create(*first[0])
        elif first:
            self._create_many(chain(first, rest))

    @contextmanager
    def staging(self) -> Iterator[Stage]:
        """Nothing is written ahead: an object is seen as soon as it is written."""
        yield lambda _name, _data: None

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or None if there is none or the name is not one of a metadata file.

        Raises:
            StoreError: it cannot be read.
        """
        if not is_metadata(name):
            return None
        found = self._bucket.get(self._prefix + name)
        return None if found is None else found.data

    def expect(self, name: str) -> None:
        """Nothing: a request made ahead would be a second request."""

    def files(self) -> Iterator[StoredFile]:
        """Every metadata file, in no order, as a stream.

        Raises:
            StoreError: the bucket cannot be listed.
        """
        for item in self._bucket.list(self._prefix):
            name = item.key.removeprefix(self._prefix)
            if is_metadata(name):
                yield StoredFile(name=name, size=item.size)

    def delete(self, names: Iterable[str]) -> int:
        """Delete versioned files. How many are gone now: S3 does not tell those that were gone before.

        Raises:
            StoreError: a name is a root's or the timestamp's, or the bucket cannot be written.
        """
        wanted: list[str] = []
        refused: str | None = None
        for name in names:
            if not is_deletable(name):
                refused = name
                break
            wanted.append(name)
        self._bucket.delete(self._prefix + name for name in wanted)
        if refused is not None:
            raise StoreError(f"{refused[:80]!r} is never deleted.")
        return len(set(wanted))

    def epoch(self) -> int:
        """The newest epoch that has fenced the store; 0 before the first.

        Raises:
            StoreError: what is written there is not an epoch, or cannot be read.
        """
        return self._epoch()[0]

    def fence(self, epoch: int) -> None:
        """From now on, refuse to move the timestamp for any epoch below this one.

        Raises:
            LeaseLost: a higher epoch has fenced the store already.
            StoreError: the bucket cannot be written.
        """
        with self._lock:
            self._raise_fence(epoch)
            # After the fence, so that whatever a former holder still writes is either known or stops us once.
            self._know(self._bucket.get(self._prefix + TIMESTAMP))

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        """Replace `timestamp.json` atomically and durably. A higher epoch than the store's fences it too.

        Raises:
            LeaseLost: a higher epoch has fenced the store.
            StoreError: the bucket cannot be written. The timestamp is whole; it is the old one, or the new one if
                the store's answer was lost: then move it again, which succeeds.
        """
        key = self._prefix + TIMESTAMP
        with self._lock:
            if not self._knows:
                self._know(self._bucket.get(key))
            for _ in range(_TRIES):
                # The state is known by now, and only then is the epoch read: see above.
                self._raise_fence(epoch)
                tag = self._bucket.put(key, data, over=self._known, headers=_MOVING)
                if tag is not None:
                    self._known = tag
                    return
                # Our own write whose answer was lost, the last one of a former holder, or a newer holder's.
                found = self._bucket.get(key)
                self._know(found)
                if found is not None and found.data == data:
                    # A newer holder may have written the same; then this one is over all the same.
                    self._raise_fence(epoch)
                    return
        raise StoreError("The timestamp cannot be moved: others keep writing it. Is there a second index?")

    # --- creating ------------------------------------------------------------------------------------------------

    def _create_many(self, files: Iterable[tuple[str, bytes]]) -> None:
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="metadata-s3") as pool:
            try:
                for name, data in files:
                    if len(waiting) >= 2 * self._threads:
                        waiting.popleft().result()
                    waiting.append(pool.submit(self._create, name, data))
                while waiting:
                    waiting.popleft().result()
            finally:
                # After a failure, what has not begun does not begin.
                for future in waiting:
                    future.cancel()

    def _create(self, name: str, data: bytes) -> None:
        if not is_versioned(name):
            raise StoreError(f"{name[:80]!r} is not the name of a versioned metadata file.")
        key = self._prefix + name
        for _ in range(_TRIES):
            if self._bucket.put(key, data, over=None, headers=_IMMUTABLE) is not None:
                return
            found = self._bucket.get(key)
            if found is not None:
                # Another publisher was faster, or our answer was lost. The same bytes are welcome.
                if found.data != data:
                    raise StoreError(f"{name} exists with other content; nothing is overwritten.")
                return
            # Another write of it was under way and is not to be seen yet.
        raise StoreError(f"{name} can neither be created nor read.")

    # --- fencing -------------------------------------------------------------------------------------------------

    @property
    def _state(self) -> str:
        return f"{self._prefix}{_STATE}/"

    def _know(self, found: Read | None) -> None:
        self._known = None if found is None else found.tag
        self._knows = True

    def _epoch(self) -> tuple[int, str | None]:
        found = self._bucket.get(f"{self._state}epoch")
        if found is None:
            return 0, None
        try:
            return int(found.data.decode("ascii")), found.tag
        except ValueError as error:
            # To take it for zero would let a stale publisher in.
            raise StoreError(
                "The epoch of the metadata store is damaged: stop every publisher and write into .store/epoch a "
                "number that is no lower than any that was there; `gatehouse tuf fsck` names one."
            ) from error

    def _raise_fence(self, epoch: int) -> None:
        """Refuse a stale epoch, and note a newer one."""
        for _ in range(_TRIES):
            fenced, tag = self._epoch()
            if epoch < fenced:
                raise LeaseLost(f"Epoch {epoch} is over: epoch {fenced} holds the metadata store.")
            if epoch == fenced:
                return
            if self._bucket.put(f"{self._state}epoch", f"{epoch}\n".encode(), over=tag, headers=_PRIVATE):
                return
            # Another one moved it meanwhile, or our answer was lost.
        raise StoreError("The epoch cannot be kept: others keep writing it. Is there a second index?")

    # --- probing -------------------------------------------------------------------------------------------------

    def _probe_conditions(self, key: str) -> None:
        bucket = self._bucket
        careless = StoreError(
            "The metadata bucket ignores the conditions of writes (If-None-Match, If-Match): use a store that "
            "honours them, or a folder."
        )
        if bucket.put(key, b"bad", over='"0123456789abcdef0123456789abcdef"', headers=_PRIVATE) is not None:
            raise careless
        first = bucket.put(key, b"one", over=None, headers=_PRIVATE)
        if first is None or _data(bucket.get(key)) != b"one":
            raise StoreError("The metadata bucket does not create what is not there.")
        if bucket.put(key, b"two", over=None, headers=_PRIVATE) is not None:
            raise careless
        second = bucket.put(key, b"three", over=first, headers=_PRIVATE)
        if second is None or second == first:
            raise StoreError("The metadata bucket does not replace what it should.")
        if bucket.put(key, b"four", over=first, headers=_PRIVATE) is not None:
            raise careless
        if _data(bucket.get(key)) != b"three":
            raise StoreError("The metadata bucket overwrites what it must not.")


def _data(found: Read | None) -> bytes | None:
    return None if found is None else found.data
