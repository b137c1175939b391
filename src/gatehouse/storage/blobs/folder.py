"""Blobs in a folder: implements `gate.ports.Blobs`.

A blob lies at `<root>/<first two digits>/<sha256>`. Bytes come in under a random name in `<root>/incoming/`, are
synced there, and then get their name by a link, which never overwrites. So a blob that has its name is whole; a
crash leaves at most a nameless file in `incoming/`, which `sweep_incoming` removes at the next start.

A blob's time of change says when somebody last kept these bytes. Keeping holds `<root>/keep.lock` shared, removing
holds it alone: whoever keeps what is being removed either makes it young in time or gives it its name again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

from gatehouse.core.digests import Digester, Digests
from gatehouse.core.errors import InternalError, NotFound, StoreError
from gatehouse.gate.ports import Coding
from gatehouse.storage.blobs import durable

_PREFIX = re.compile(r"[0-9a-f]{2}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Where the web keeps compressed forms of pages.
_ENCODED = ".encoded"
# What a file system says that has no hard links, or no more of them.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FolderBlobs:
    """Bytes by SHA-256, in a folder. Safe for many threads and many processes."""

    def __init__(self, root: Path) -> None:
        """Makes the folder if it is missing.

        Raises:
            StoreError: it cannot be made.
        """
        self._root = root
        self._incoming = root / "incoming"
        self._keep_lock = root / "keep.lock"
        self._durable_folders: set[str] = set()
        with durable.translated("The blob folder cannot be made"):
            durable.make_folder(self._incoming)

    def receive(self) -> IncomingFile:
        """Begin to take bytes.

        Raises:
            StoreError: the disk does not let us.
        """
        return IncomingFile(self, self._incoming / secrets.token_hex(16))

    def put(self, data: bytes) -> str:
        """Keep these bytes durably; their SHA-256.

        Raises:
            StoreError: the disk does not let us.
        """
        with self.receive() as incoming:
            incoming.write(data)
            digests = incoming.finish()
            incoming.keep()
        return digests.sha256

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob.

        Raises:
            NotFound: there is none, or this is not a SHA-256 in lower-case hexadecimal.
            StoreError: it cannot be read.
        """
        try:
            with durable.translated("The blob cannot be read"):
                descriptor = os.open(self.path_of(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NotFound(f"There is no blob {sha256}.") from error
            raise
        return os.fdopen(descriptor, "rb")

    def size(self, sha256: str) -> int | None:
        """A blob's length in bytes, or None if there is none.

        Raises:
            StoreError: the folder cannot be read.
        """
        if not _SHA256.fullmatch(sha256):
            return None
        with durable.translated("The blob cannot be read"), suppress(FileNotFoundError):
            return self.path_of(sha256).lstat().st_size
        return None

    def path_of(self, sha256: str) -> Path:
        """Where a blob lies or would lie.

        Raises:
            NotFound: this is not a SHA-256 in lower-case hexadecimal, so no path is made of it.
        """
        if not _SHA256.fullmatch(sha256):
            raise NotFound("There is no blob of that name: a blob has 64 lower-case hexadecimal digits.")
        return self._root / sha256[:2] / sha256

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, sorted; those that come or go meanwhile may be missed.

        Raises:
            StoreError: the folder cannot be read.
        """
        with durable.translated("The blob folder cannot be read"):
            folders = sorted(path for path in self._root.iterdir() if _PREFIX.fullmatch(path.name))
        for folder in folders:
            with durable.translated("The blob folder cannot be read"):
                names = sorted(path.name for path in folder.iterdir())
            yield from (name for name in names if _SHA256.fullmatch(name) and name.startswith(folder.name))

    def is_older(self, sha256: str, than: datetime) -> bool:
        """Whether a blob is there and was last kept before a moment.

        Raises:
            StoreError: the folder cannot be read.
        """
        with durable.translated("The blob cannot be read"), suppress(FileNotFoundError):
            return self.path_of(sha256).lstat().st_mtime < than.timestamp()
        return False

    def remove_old(self, sha256: str, *, older_than: datetime) -> int | None:
        """Remove a blob and its compressed forms, unless somebody kept the same bytes since a moment.

        A power cut may bring it back: a later clean-up removes it again.

        Returns:
            The bytes that the blob took; None if it was spared.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        path = self.path_of(sha256)
        with (
            durable.translated("The blob cannot be removed"),
            durable.locked(self._keep_lock, fcntl.LOCK_EX),
            suppress(FileNotFoundError),
        ):
            status = path.lstat()
            if status.st_mtime < older_than.timestamp():
                path.unlink()
                for coding in Coding:
                    (self._root / _ENCODED / f"{sha256}{coding.suffix}").unlink(missing_ok=True)
                return status.st_size
        return None

    def sweep_incoming(self, older_than: datetime) -> int:
        """Remove what crashed uploads left.

        Args:
            older_than: only what was last written before this moment. What is being received is spared, however
                old, because its receiver holds a lock on it.

        Returns:
            How many files went.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        swept = 0
        with durable.translated("The incoming folder cannot be swept"):
            for path in list(self._incoming.iterdir()):
                # Whoever removed it meanwhile did our work.
                with suppress(FileNotFoundError):
                    if path.lstat().st_mtime < older_than.timestamp():
                        swept += _remove_if_unlocked(path)
        return swept

    def give_name(self, temporary: Path, sha256: str, length: int) -> Path:
        """Give synced bytes their name; where they lie under it or, if another had it, still under the old.

        Raises:
            OSError: the disk does not let us.
            StoreError: the name is taken by something of another length.
        """
        final = self.path_of(sha256)
        if final.parent.name not in self._durable_folders:
            durable.make_folder(final.parent)
            # Even if it was there: who made it may have crashed before this.
            durable.sync_folder(self._root)
            self._durable_folders.add(final.parent.name)
        lies_at = temporary
        with durable.locked(self._keep_lock, fcntl.LOCK_SH):
            try:
                os.link(temporary, final)
            except FileExistsError:
                if final.lstat().st_size != length:
                    raise StoreError(f"The blob {sha256} is damaged: its length is wrong.") from None
                # Kept again now: a clean-up that found it without a name must spare it.
                os.utime(final)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # A rename overwrites, which is harmless here: a blob of this name has these bytes.
                temporary.rename(final)
                lies_at = final
        # A crash here leaves the blob named or nameless. Nobody was told that it is kept, and keeping it again is
        # success. Also if the name was there: who gave it may not have come to this line.
        durable.sync_folder(final.parent)
        return lies_at


class IncomingFile:
    """Bytes on their way in: implements `gate.ports.IncomingBlob`."""

    def __init__(self, blobs: FolderBlobs, temporary: Path) -> None:
        self._blobs = blobs
        self._temporary = temporary
        self._path = temporary
        self._digester = Digester()
        self._digests: Digests | None = None
        with durable.translated("The upload cannot be received"):
            self._descriptor = durable.create_new(temporary)
            # So that a sweep spares it. It is new and the name is random: nobody else can hold it.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)
        with durable.translated("The upload cannot be cleaned up"):
            self._temporary.unlink(missing_ok=True)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes.

        Raises:
            InternalError: `finish` was called already.
            StoreError: the disk does not let us.
        """
        if self._digests is not None:
            raise InternalError("An upload that is finished takes no more bytes.")
        with durable.translated("The upload cannot be received"):
            durable.write_all(self._descriptor, chunk)
        self._digester.update(chunk)

    def finish(self) -> Digests:
        """All bytes have come: make them durable under their temporary name.

        Raises:
            StoreError: the disk does not let us.
        """
        if self._digests is None:
            with durable.translated("The upload cannot be received"):
                os.fchmod(self._descriptor, durable.FILE_MODE)
                os.fsync(self._descriptor)
            self._digests = self._digester.digests()
        return self._digests

    @property
    def path(self) -> Path:
        """Where the bytes lie for reading after `finish`, until the context ends."""
        return self._path

    def keep(self) -> None:
        """Give the bytes their name by digest, durably; if that blob exists, that is success.

        Raises:
            InternalError: `finish` was not called.
            StoreError: the disk does not let us, or the blob that exists is damaged.
        """
        if self._digests is None:
            raise InternalError("An upload must be finished before it is kept.")
        with durable.translated("The blob cannot be kept"):
            self._path = self._blobs.give_name(self._path, self._digests.sha256, self._digests.length)


def _remove_if_unlocked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return 0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        path.unlink()
    finally:
        os.close(descriptor)
    return 1
