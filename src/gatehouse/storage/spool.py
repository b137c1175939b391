"""Rows on their way, in a folder that goes when they have arrived: implements `gate.ports.Spool`.

Nothing here is durable: after a crash the rows are read from their source again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.storage.blobs import durable

_BUFFER_BYTES = 64 * 1024


class FolderSpool:
    """Rows in files, a file a part. Not safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers: dict[int, bytearray] = {}

    def put(self, part: int, lines: Iterable[bytes]) -> None:
        """Add lines to a part, each without its end.

        Raises:
            StoreError: there is no space for them.
        """
        buffer = self._buffers.setdefault(part, bytearray())
        for line in lines:
            buffer += line
            buffer += b"\n"
        if len(buffer) >= _BUFFER_BYTES:
            with durable.translated("The rows cannot be kept"), (self._folder / str(part)).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def take(self, part: int) -> list[bytes]:
        """All lines of a part, in no order.

        Raises:
            StoreError: they cannot be read.
        """
        path = self._folder / str(part)
        with durable.translated("The rows cannot be read"):
            data = path.read_bytes() if path.exists() else b""
        return (data + self._buffers.get(part, b"")).split(b"\n")[:-1]


@contextmanager
def folder_spool(parent: Path) -> Iterator[FolderSpool]:
    """An empty spool in a new folder, which goes after the block.

    Args:
        parent: where there is room for all rows.

    Raises:
        StoreError: the folder cannot be made or removed.
    """
    with durable.translated("The folder for the rows cannot be made"):
        folder = Path(tempfile.mkdtemp(prefix="import-", dir=parent))
    try:
        yield FolderSpool(folder)
    finally:
        with durable.translated("The folder of the rows cannot be removed"):
            shutil.rmtree(folder)
