"""python-tuf's own client, against what the signing wing publishes.

The statement that all of this comes to: every served state is acceptable to a client that holds any earlier
state, and to one that is caught by a publication between any two of its requests.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from gatehouse.tuf.model import Target
from gatehouse.tuf.plan import OnlineSigners, SignedRole
from tests.support.tuf_repository import LAYOUT, Repository, Seen, content, fixed_signer, online_signers

BASE = "http://index.invalid/"
PAGE, FILE = "simple/spam/index.html", "files/spam/spam-1.0.tar.gz"
NEWER, GONE = "files/spam/spam-1.1.tar.gz", "files/ham/ham-0.1-py3-none-any.whl"
PATHS = (PAGE, FILE, NEWER, GONE)


@dataclass(kw_only=True)
class Server(FetcherInterface):
    """Serves files from memory, as they were after one publication; another may come between two requests."""

    files: dict[str, bytes]
    seen: Seen
    later: Seen | None = None
    switch_after: int = -1
    requests: list[str] = field(default_factory=list)

    def _fetch(self, url: str) -> Iterator[bytes]:
        if len(self.requests) == self.switch_after and self.later is not None:
            self.seen = self.later
        name = url.removeprefix(BASE)
        self.requests.append(name)
        data = self.seen.timestamp if name == "metadata/timestamp.json" else self.files.get(name)
        if data is None:
            raise DownloadHTTPError(f"no {name}", 404)
        yield data


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a client got: the contents by path (None: no such target), and which timestamp it trusted."""

    contents: dict[str, bytes | None]
    timestamp: int
    requests: list[str]


def visit(server: Server, cache: Path, root: bytes, *, paths: tuple[str, ...] = PATHS, now: datetime) -> Visit:
    """Refresh and fetch as an application would."""
    (cache / "targets").mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(cache),
        f"{BASE}metadata/",
        str(cache / "targets"),
        f"{BASE}targets/",
        fetcher=server,
        bootstrap=root,
    )
    updater._trusted_set.reference_time = now
    updater.refresh()
    contents: dict[str, bytes | None] = {}
    for path in paths:
        info = updater.get_targetinfo(path)
        contents[path] = None if info is None else Path(updater.download_target(info)).read_bytes()
    return Visit(contents=contents, timestamp=updater._trusted_set.timestamp.version, requests=server.requests)


def expect(got: Visit, seen: Seen) -> None:
    """The client trusts that state and found in it what was published, nothing else."""
    assert got.timestamp == seen.version
    for path, data in got.contents.items():
        target = seen.targets.get(path)
        assert data == (None if target is None else edition_of(target)), path


def edition_of(target: Target) -> bytes:
    (data,) = [
        content(target.path, number)
        for number in range(9)
        if fixed_digest(content(target.path, number)) == target.sha256
    ]
    return data


def fixed_digest(data: bytes) -> str:
    from gatehouse.core.digests import sha256_hex  # noqa: PLC0415

    return sha256_hex(data)
