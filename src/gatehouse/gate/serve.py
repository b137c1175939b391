"""What is handed out: the pages, files and targets that the index serves now.

A page is served only when the timestamp that covers it has moved; the blob handed out is the blob signed. A file
is served while the catalog calls it published: what is held or removed goes at once, although metadata that
lists it stays until the next publication.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatehouse.catalog.model import File, FileState, ServedPage
from gatehouse.core.errors import CallerError
from gatehouse.core.names import PageFormat, check_filename, file_target, parse_target
from gatehouse.gate.ports import Blobs, Database, Transaction
from gatehouse.gate.trust import Trust

_HASHED = re.compile(r"([0-9a-f]{64})\.(.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedFile:
    """A blob to hand out: stored here under `sha256`, or elsewhere at `external_url`."""

    sha256: str
    length: int
    external_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """Finds what is asked for. What is not there, or not served, is None: the two look alike from outside."""

    database: Database
    blobs: Blobs
    trust: Trust

    def projects(self) -> list[str]:
        """The normalized names of all projects that have a page, sorted."""
        with self.database.read() as transaction:
            return transaction.catalog.served_projects()

    def page(self, name: str, page_format: PageFormat) -> ServedPage | None:
        """A project's simple page, by normalized name."""
        with self.database.read() as transaction:
            return transaction.catalog.served_page(name, page_format)

    def file(self, name: str, filename: str) -> ServedFile | None:
        """A published distribution file."""
        with self.database.read() as transaction:
            file = _published(transaction, name, filename)
        if file is None:
            return None
        return ServedFile(sha256=file.sha256, length=file.size, external_url=file.external_url)

    def core_metadata(self, name: str, filename: str) -> ServedFile | None:
        """The core metadata of a published file (PEP 658); `filename` is the distribution's."""
        with self.database.read() as transaction:
            file = _published(transaction, name, filename)
        if file is None or file.metadata_sha256 is None:
            return None
        length = self.blobs.size(file.metadata_sha256)
        return None if length is None else ServedFile(sha256=file.metadata_sha256, length=length)

    def target(self, path: str) -> ServedFile | None:
        """A TUF target, by its hash-prefixed path (TUF specification, consistent snapshots) or its plain one.

        A page that has been replaced is still found by its hash, for clients in the middle of a session; a
        target that has been removed is not.
        """
        folder, _, last = path.rpartition("/")
        hashed = _HASHED.fullmatch(last)
        wanted, plain = (hashed[1], f"{folder}/{hashed[2]}") if hashed else (None, path)
        try:
            name = parse_target(plain)
        except CallerError:
            return None
        with self.database.read() as transaction:
            target = transaction.signing.find_target(plain, self.trust.state(transaction).layout.bin_of(plain))
            if target is None:
                return None
            if wanted in (None, target.sha256):
                file = transaction.catalog.find_file(name.filename) if name.kind == "file" else None
                if file is not None and file.state is not FileState.PUBLISHED:
                    return None
                external = None if file is None else file.external_url
                return ServedFile(sha256=target.sha256, length=target.length, external_url=external)
            if wanted is None or name.kind != "page" or not transaction.journal.ever_held(plain, wanted):
                return None
        length = self.blobs.size(wanted)
        return None if length is None else ServedFile(sha256=wanted, length=length)


def _published(transaction: Transaction, name: str, filename: str) -> File | None:
    try:
        path = file_target(name, check_filename(filename))
    except CallerError:
        return None
    file = transaction.catalog.find_file(filename)
    if file is None or file.state is not FileState.PUBLISHED or path != file_target(file.project, filename):
        return None
    return file
