"""Archives in a folder: implements `gate.ports.keeping.Archives`.

An archive is written under a random name, synced, made read-only, and then gets its name by a link, which never
overwrites. Old ones are never touched: ageing them is the affair of whoever copies them off the host.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.core.errors import Conflict, StoreError
from gatehouse.gate.ports.keeping import Sink
from gatehouse.storage.blobs import durable

_SUFFIX = ".tar.gz"
_SCRATCH = ".writing-"
_READ_ONLY = 0o444


class FolderArchives:
    """Archives by name, in a folder, each written once."""

    def __init__(self, root: Path) -> None:
        """Makes the folder if it is missing.

        Raises:
            StoreError: it cannot be made.
        """
        self._root = root
        with durable.translated("The archive folder cannot be made"):
            durable.make_folder(root)

    def names(self) -> list[str]:
        """The archives there are, by name, sorted.

        Raises:
            StoreError: the folder cannot be read.
        """
        with durable.translated("The archive folder cannot be read"):
            return sorted(path.name for path in self._root.iterdir() if path.name.endswith(_SUFFIX))

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        """Write a new archive: it appears, whole and read-only, when the block ends well.

        Raises:
            Conflict: there is one of that name.
            StoreError: the folder cannot be written; nothing of the archive is left.
        """
        final = self._root / name
        if Path(name).name != name or not name.endswith(_SUFFIX) or name.startswith("."):
            raise StoreError(f"{name[:80]!r} is not the name of an archive.")
        if final.exists():
            raise _exists(name)
        scratch = self._root / f"{_SCRATCH}{secrets.token_hex(8)}"
        with durable.translated("The archive cannot be written"):
            descriptor = durable.create_new(scratch)
            try:
                yield _Sink(descriptor)
                os.fchmod(descriptor, _READ_ONLY)
                os.fsync(descriptor)
                # A crash up to here leaves a scratch file, which no reader takes for an archive.
                self._give_name(scratch, final)
                durable.sync_folder(self._root)
            finally:
                os.close(descriptor)
                scratch.unlink(missing_ok=True)

    @staticmethod
    def _give_name(scratch: Path, final: Path) -> None:
        try:
            os.link(scratch, final)
        except FileExistsError as error:
            raise _exists(final.name) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            raise StoreError("The archive folder's file system cannot link files.") from error


class _Sink:
    """Takes bytes without a buffer: a disk that fills up fails the write itself, never a destructor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Take all bytes."""
        durable.write_all(self._descriptor, data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits here; what is durable, `create` decides at the end."""


def _exists(name: str) -> Conflict:
    return Conflict(f"There is an archive {name} already; archives are written once.")
