"""Compressed forms in a folder: implements `gate.ports.KeptEncodings`.

    <root>/<name>.gz, <root>/<name>.br   one line that says what follows, then the compressed bytes
    <root>/incoming/                     what is being written

A cache and nothing more: the whole folder may be deleted at any moment, also while the server runs. Who deletes
what a form was made of deletes the form too (`FolderMetadataStore.delete`, `FolderBlobs`). Nothing is synced to
the disk, for the first line carries the digest of what follows it, and of what that was made of: what a crash or a
failing disk has shortened or changed is noticed when it is read, and made again.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

import structlog

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError, StoreError
from gatehouse.gate.ports import Coding, Encoded
from gatehouse.storage.blobs import durable

_NAME = re.compile(r"[0-9a-z][0-9a-z._-]{0,199}", re.ASCII)
_LINE = re.compile(rb"gatehouse-encoded 1 ([0-9a-f]{64}) ([0-9a-f]{64})\n")
_LINE_BYTES = len("gatehouse-encoded 1 ") + 64 + 1 + 64 + 1
# What lies in `incoming` for longer was left by a crash.
_LEFT_SECONDS = 3600.0
log = structlog.get_logger(__name__)


class FolderEncodings:
    """Compressed forms by name, in a folder. Safe for many threads and many processes."""

    def __init__(self, root: Path) -> None:
        """Makes the folder if it is missing, and sweeps what crashes left.

        Raises:
            StoreError: it cannot be made.
        """
        self._root = root
        self._incoming = root / "incoming"
        with durable.translated("The folder of compressed forms cannot be made"):
            durable.make_folder(self._incoming)
            self._sweep_incoming()

    def load(self, name: str, coding: Coding) -> Encoded | None:
        """A form as it was kept; None if there is none, or if it is damaged.

        Raises:
            InternalError: the name could lead elsewhere.
            StoreError: it cannot be read.
        """
        path = self._path(name, coding)
        try:
            with durable.translated("A compressed form cannot be read"):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with os.fdopen(descriptor, "rb") as file:
                    content = file.read()
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        line = _LINE.match(content)
        data = content[_LINE_BYTES:]
        if line is None or sha256_hex(data).encode() != line[1]:
            log.warning("a compressed form is damaged and is made again", name=name, coding=coding.value)
            return None
        return Encoded(data=data, of_sha256=line[2].decode())

    def keep(self, name: str, coding: Coding, encoded: Encoded) -> None:
        """Keep a form, in place of one of that name.

        Raises:
            InternalError: the name could lead elsewhere.
            StoreError: it cannot be written; what was kept before is still whole.
        """
        path = self._path(name, coding)
        line = f"gatehouse-encoded 1 {sha256_hex(encoded.data)} {encoded.of_sha256}\n".encode()
        scratch = self._incoming / secrets.token_hex(16)
        with durable.translated("A compressed form cannot be kept"):
            # Somebody may have deleted the folder, and was free to.
            durable.make_folder(self._incoming)
            descriptor = durable.create_new(scratch)
            try:
                durable.write_all(descriptor, line + encoded.data)
                os.fchmod(descriptor, durable.FILE_MODE)
                scratch.rename(path)
            except BaseException:
                scratch.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)

    def _path(self, name: str, coding: Coding) -> Path:
        if not _NAME.fullmatch(name):
            raise InternalError(f"{name[:80]!r} is no name of a compressed form.")
        return self._root / f"{name}{coding.suffix}"

    def _sweep_incoming(self) -> None:
        before = time.time() - _LEFT_SECONDS
        for path in list(self._incoming.iterdir()):
            # Another process may sweep at the same time.
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < before:
                    path.unlink()
