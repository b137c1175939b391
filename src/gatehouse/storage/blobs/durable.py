"""What the folder stores share: bytes that are on disk when a call returns, and the disk's errors in our words.

`write` and `fsync` are reached through `os`, so that a test can make a disk fill up. A message names no path: it
may be shown to a stranger, and the operator finds the path in the error that it is chained to.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.core.errors import StoreError

FILE_MODE = 0o644

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2

_WORDS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this process may not write or read there",
    errno.EPERM: "this process may not write or read there",
    errno.EIO: "the disk failed",
    errno.EMFILE: "this process has too many open files",
    errno.ENAMETOOLONG: "the file name is too long",
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what was being done, as "The blob cannot be kept".

    Raises:
        StoreError: for any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = _WORDS.get(error.errno or 0) or error.strerror or type(error).__name__
        raise StoreError(f"{what}: {reason}.") from error


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all bytes, however few a call takes."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def create_new(path: Path) -> int:
    """A descriptor of a new file to write; FileExistsError if there is one. Nobody else reads it for now."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def begin_to_sync(descriptor: int) -> None:
    """Have the disk begin with a file's bytes and do not wait, so that the sync to come has less to do. A hint."""
    if hasattr(_LIBC, "sync_file_range"):
        _LIBC.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


def begin_to_read(path: Path) -> None:
    """Have the disk begin to read a file and do not wait. A hint; OSError if there is no such file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and its parents durably; one that exists is success."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        # Another process may be as far; then the folder is there, and its name is made durable by both.
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold a lock on a file, made if missing, and wait for it unless `how` has LOCK_NB.

    The lock ends with the block or with the process, however that ends.

    Args:
        path: the lock file; it stays for ever, because removing one lets two holders lock two files.
        how: `fcntl.LOCK_SH` or `LOCK_EX`, with `LOCK_NB` not to wait.

    Raises:
        BlockingIOError: it is taken, with LOCK_NB.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def replace_durably(path: Path, data: bytes, scratch: Path) -> None:
    """Give a file new content, whole or not at all.

    Args:
        path: the file.
        data: its new content.
        scratch: a name on the same file system for the time being; what a crash left there is overwritten.
    """
    scratch.unlink(missing_ok=True)
    descriptor = create_new(scratch)
    try:
        write_all(descriptor, data)
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
        # A crash up to here leaves the old file, and a scratch file that the next call removes.
        scratch.rename(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    # A crash here leaves the new file or the old, whole; the caller has not been told that it is done.
    sync_folder(path.parent)


def sync_file_system(folder: Path) -> bool:
    """Make everything on a folder's file system durable at once; False where the system cannot."""
    if not hasattr(_LIBC, "syncfs"):
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(descriptor)
    return True
