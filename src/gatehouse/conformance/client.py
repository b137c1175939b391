"""One session of python-tuf's own client against files in memory: what it asked, what it found, what it holds now.

The client is not altered. Its answers come from a fetcher, its moment is set where python-tuf keeps it, and its
folder holds what it remembers from earlier sessions, file by file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from gatehouse.conformance.recording import METADATA, TARGETS, Expected
from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import GatehouseError

_BASE: Final = "http://repository.invalid/"
_NOT_FOUND: Final = 404
#: python-tuf links this name to the newest root of `root_history`, which is what counts.
_LINK: Final = "root.json"

#: What a client remembers: (file name, digest) pairs, sorted.
Held = tuple[tuple[str, str], ...]
NEW: Final[Held] = ()

#: Gives the digest of the file that answers a request, by its number in the session and its name; None is a 404.
Script = Callable[[int, str], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request and its answer: the digest of the file, None for a 404."""

    name: str
    answer: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a session ended.

    Attributes:
        asked: every request in order.
        found: by path, what the client found there; up to its end, if it ended early.
        held: what it remembers now.
        fault: why it ended early, None if it did not.
        broke: the fault is an exception that python-tuf does not document: the client fell over.
    """

    asked: tuple[Asked, ...]
    found: Mapping[str, Expected | None]
    held: Held
    fault: str | None = None
    broke: bool = False


class _Answers(FetcherInterface):
    def __init__(self, script: Script, objects: Mapping[str, bytes]) -> None:
        self.asked: list[Asked] = []
        self.damage: GatehouseError | None = None
        self._script = script
        self._objects = objects

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_BASE)
        answer = self._script(len(self.asked), name)
        self.asked.append(Asked(name=name, answer=answer))
        if answer is None:
            raise DownloadHTTPError(f"there is no {name}", _NOT_FOUND)
        try:
            return iter((self._objects[answer],))
        except GatehouseError as error:
            # python-tuf would call it a failed download, and the repository would be blamed for our disk.
            self.damage = error
            raise


@dataclass(kw_only=True)
class Visitor:
    """Plays sessions, each in the same scratch folder, emptied before.

    Attributes:
        root: the root that every client is given.
        paths: what every client looks up, in this order.
        objects: where the answers' bytes are, by digest.
        downloads: whether the content of a target was recorded.
        folder: an empty folder of this visitor's own.
        ran: how many sessions were played.
    """

    root: bytes
    paths: tuple[str, ...]
    objects: Mapping[str, bytes]
    downloads: Callable[[str, Expected], bool]
    folder: Path
    ran: int = 0

    def visit(self, held: Held, script: Script, now: datetime) -> Outcome:
        """Refresh and look everything up, as a client that remembers `held` does at that moment.

        Raises:
            BadRecording: a file of the recording could not be read.
        """
        self.ran += 1
        cache = self._remember(held)
        answers = _Answers(script, self.objects)
        found: dict[str, Expected | None] = {}
        fault, broke = None, False
        try:
            updater = Updater(
                str(cache),
                _BASE + METADATA,
                str(self.folder),
                _BASE + TARGETS,
                fetcher=answers,
                config=UpdaterConfig(),
                bootstrap=self.root,
            )
            set_moment(updater, now)
            updater.refresh()
            for path in self.paths:
                found[path] = self._look_up(updater, path)
        except (RepositoryError, DownloadError) as error:
            fault = said(error)
        except Exception as error:  # noqa: BLE001 -- whatever a hostile file makes the client raise is a finding
            fault, broke = said(error), True
        if answers.damage is not None:
            raise answers.damage
        return Outcome(asked=tuple(answers.asked), found=found, held=self._memory(cache), fault=fault, broke=broke)

    def _look_up(self, updater: Updater, path: str) -> Expected | None:
        info = updater.get_targetinfo(path)
        if info is None:
            return None
        listed = as_listed(info)
        if not self.downloads(path, listed):
            return listed
        updater.download_target(info, str(self.folder / "target"))
        return Expected(hashes=listed.hashes, length=listed.length, content=True)

    def _remember(self, held: Held) -> Path:
        cache = self.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        (cache / "root_history").mkdir(parents=True)
        for name, digest in held:
            # A link costs less than a copy, and python-tuf replaces files, it does not write into them.
            os.link(self._object(digest), cache / name)
        return cache

    def _object(self, digest: str) -> Path:
        path = self.folder / digest
        if not path.exists():
            path.write_bytes(self.objects[digest])
        return path

    def _memory(self, cache: Path) -> Held:
        held = []
        for folder in (cache, cache / "root_history"):
            for file in folder.iterdir():
                if file.name == _LINK or file.is_dir():
                    continue
                digest = sha256_hex(file.read_bytes())
                if not (self.folder / digest).exists():
                    os.link(file, self.folder / digest)
                held.append((file.relative_to(cache).as_posix(), digest))
        return tuple(sorted(held))


def set_moment(updater: Updater, now: datetime) -> None:
    """Set the moment by which a client judges what has expired.

    python-tuf reads the machine's clock when an `Updater` is made and takes no other; this is the attribute that
    its own tests reach by setting the clock of the whole process.
    """
    updater._trusted_set.reference_time = now  # noqa: SLF001 -- no public way; a test fails where this has no effect


def as_listed(info: TargetFile) -> Expected:
    """A target as its metadata lists it."""
    return Expected(hashes=tuple(info.hashes.items()), length=info.length)


def said(error: BaseException) -> str:
    """What a client said, in one line: the error's kind and words, then those of what caused it."""
    words = " ".join(str(error).split())
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return told if error.__cause__ is None else f"{told} ({said(error.__cause__)})"
