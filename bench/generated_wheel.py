"""A wheel of 100 MB with 50,000 files, made of nothing but a seed: what the largest uploads look like.

Nine files in ten are Python modules of a few hundred bytes to some kilobytes; one in twenty of these starts a
program or reaches the network, as in ordinary code. The others are data that does not compress, which makes the
size. The same seed gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import random
import zipfile
from pathlib import Path

FILES = 50_000
SIZE = 100_000_000
_STEM = "generated-1.0"
_DATED = (2026, 1, 1, 0, 0, 0)
_PLAIN = '''"""Module {number} of the generated package."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from generated.part_{other} import Thing as Other

LOGGER = logging.getLogger(__name__)
LIMIT = {number}


@dataclass
class Thing:
    """A thing of this module."""

    name: str
    size: int = LIMIT

    def grow(self, by: int) -> int:
        """Grow."""
        if by < 0:
            raise ValueError(f"{{self.name}} cannot grow by {{by}}")
        self.size += by
        LOGGER.debug("%s is %d now", self.name, self.size)
        return self.size


def total(things: list[Thing]) -> int:
    """All of them together."""
    return sum(thing.size for thing in things if thing.name != "{other}")
'''
_ACTING = """

def describe(folder: str) -> str:
    import subprocess

    return subprocess.run(["git", "describe"], cwd=folder, capture_output=True, text=True).stdout
"""


def write(folder: Path, *, files: int = FILES, size: int = SIZE) -> Path:
    """Write the wheel into a folder.

    Args:
        folder: where.
        files: how many there are.
        size: of the wheel, in bytes, about.
    """
    chance = random.Random(20_26)  # noqa: S311 -- the point is that it repeats
    path = folder / f"{_STEM}-py3-none-any.whl"
    rows: list[str] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _DATED), content, zipfile.ZIP_DEFLATED, 1)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(content)}\n")

        add("generated/__init__.py", b"")
        data = files // 10
        for number in range(files - data - 4):
            text = _PLAIN.format(number=number, other=chance.randrange(files))
            acting = _ACTING if not number % 20 else ""
            add(f"generated/part_{number}.py", (text + acting + text * chance.randrange(3)).encode())
        written = path.stat().st_size
        for number in range(data):
            add(f"generated/data/{number}.bin", chance.randbytes(max(size - written, 0) // data))
        add(f"{_STEM}.dist-info/METADATA", b"Metadata-Version: 2.1\nName: generated\nVersion: 1.0\n")
        add(
            f"{_STEM}.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        record = f"{_STEM}.dist-info/RECORD"
        rows.append(f"{record},,\n")
        archive.writestr(zipfile.ZipInfo(record, _DATED), "".join(rows), zipfile.ZIP_DEFLATED, 1)
    return path
