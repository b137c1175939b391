"""A made-up index of any size for `bench.publisher`: names, lists of targets, changes; the same in every run."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatehouse.core.names import file_target, page_target
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import Target, TargetChange

_FILES_A_PROJECT = 20
_WORDS = (
    "data",
    "fast",
    "async",
    "cloud",
    "graph",
    "flask",
    "tools",
    "utils",
    "client",
    "api",
    "ml",
    "core",
    "geo",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUpIndex:
    """So many files, in projects of twenty, each project with two pages; about 915 files and 180 pages a bin."""

    files: int

    @classmethod
    def parse(cls, text: str) -> MadeUpIndex:
        """The index of a size like `10k`, `1m` or `15m`."""
        number, unit = text[:-1], text[-1].lower()
        return cls(files=int(number) * {"k": 1000, "m": 1_000_000}[unit])

    @property
    def layout(self) -> BinLayout:
        """As many bins as keep them at the size that fifteen million files have in 16,384."""
        bits = max((self.files * 16384 // 15_000_000).bit_length() - 1, 2)
        if self.files * 16384 / 15_000_000 > 1.4 * (1 << bits):
            bits += 1
        return BinLayout(files_bits=bits, simple_bits=bits - 1)

    @property
    def projects(self) -> int:
        """How many projects there are."""
        return self.files // _FILES_A_PROJECT

    @property
    def rows(self) -> int:
        """How many targets there are: files and pages."""
        return self.files + 2 * self.projects

    def write(self, path: Path) -> None:
        """Write all targets as a list to import."""
        chance = random.Random(self.files)  # noqa: S311 -- the point is that it repeats
        with path.open("w", encoding="ascii") as file:
            file.write("path,sha256,length\n")
            for number in range(self.projects):
                name = self.name(number)
                paths = [self.file(number, release) for release in range(_FILES_A_PROJECT)]
                paths += [page_target(name, "html"), page_target(name, "json")]
                file.write(
                    "".join(f"{path},{chance.randbytes(32).hex()},{chance.randrange(10**8)}\n" for path in paths)
                )

    def name(self, number: int) -> str:
        """The name of a project."""
        return f"{_WORDS[number % len(_WORDS)]}-{_WORDS[number // 7 % len(_WORDS)]}-{number}"

    def file(self, number: int, release: int) -> str:
        """The target path of the wheel of a project's release."""
        name = self.name(number)
        wheel = f"{name.replace('-', '_')}-{release % 9}.{release}.0-cp311-cp311-manylinux_2_17_x86_64.whl"
        return file_target(name, wheel)

    def changes(self, chance: random.Random) -> Iterator[TargetChange]:
        """New files of projects anywhere, without end."""
        while True:
            yield _set(self.file(chance.randrange(self.projects), chance.randrange(20, 10**6)), chance)

    def uploads(self, chance: random.Random) -> Iterator[list[TargetChange]]:
        """Uploads anywhere, without end: a new file, and both pages of its project anew."""
        while True:
            number = chance.randrange(self.projects)
            name = self.name(number)
            paths = [self.file(number, chance.randrange(20, 10**6)), page_target(name, "html")]
            yield [_set(path, chance) for path in (*paths, page_target(name, "json"))]


def _set(path: str, chance: random.Random) -> TargetChange:
    digest = hashlib.sha256(chance.randbytes(16)).hexdigest()
    return TargetChange(
        path=path, target=Target(path=path, sha256=digest, length=chance.randrange(10**8)), cause="bench"
    )
