"""The story of the daily archive: what was served at one moment, in one file that is written once.

An archive has every root, the offline metadata, the snapshot, the timestamp and every bin that the snapshot
lists, which together hold the digest of every target; and a manifest with names, sizes and digests. Recovery
after a compromise compares with it, never with the database (procedure "Renewal and clean-up"; PEP 458,
"Auditing Snapshots"). It proves itself: `verify` needs a trusted root and nothing else of this index.

Rules kept here: one pass and one file in memory at a time; the members stand in the order in which a client
asks, so that a reader can prove each as it comes; equal content gives equal members (no times, no owners); what
does not verify is not archived, since an archive of a damaged repository would be found too late.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Final

from gatehouse.core.clock import Clock
from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import CallerError, StoreError
from gatehouse.gate.keep.stored import (
    TIMESTAMP_FILE,
    Served,
    Unproved,
    parse_name,
    read_bin,
    read_served,
    split,
    verify_bin,
)
from gatehouse.gate.ports import Database
from gatehouse.gate.ports.keeping import Archives, Sink
from gatehouse.gate.trust import Trust
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import OFFLINE_DELEGATED, ROOT, SNAPSHOT

MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
#: Larger members are not ours: a bin that outgrows this has outgrown every client long before.
_MAX_MEMBER: Final = 256 * 1024**2
# A tar is filled up with zeros to a multiple of this.
_MAX_PADDING: Final = tarfile.RECORDSIZE
# The level that costs least for what digests in hexadecimal give.
_LEVEL: Final = 6


class BadArchive(CallerError):
    """An archive is damaged, incomplete, or not what a trusted root vouches for."""

    code = "bad-archive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """An archive that was written or read: the moment it was made, and what it has."""

    name: str
    made_at: datetime
    snapshot_version: int
    timestamp_version: int
    files: int
    targets: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """Writes archives of what is served now."""

    database: Database
    store: MetadataStore
    trust: Trust
    archives: Archives
    clock: Clock

    def __call__(self) -> Archived:
        """Write an archive.

        Raises:
            Unproved: what is served does not verify; no archive was written.
            Conflict: what is served now has been archived today.
            StoreError: the store cannot be read, or the archive not written; nothing of it is left.
        """
        with self.database.read() as transaction:
            trusted_root = self.trust.state(transaction).roots[0].data
        served = read_served(self.store.read, trusted_root)
        made_at = self.clock.now()
        name = archive_name(made_at, served)
        writer = _Writer()
        with self.archives.create(name) as sink, _packed(sink) as tar:
            for filename, data in self._files(served):
                writer.add(tar, filename, data)
            writer.finish(tar, served, made_at)
        return Archived(
            name=name,
            made_at=made_at,
            snapshot_version=served.snapshot.version,
            timestamp_version=served.timestamp.version,
            files=len(writer.listed),
        )

    def is_due(self) -> bool:
        """Whether nothing was archived today, by the clock's day in UTC."""
        day = f"{self.clock.now():%Y-%m-%d}."
        return not any(name.startswith(day) for name in self.archives.names())

    def _files(self, served: Served) -> Iterator[tuple[str, bytes]]:
        yield from served.files.items()
        for filename in served.bins():
            data = self.store.read(filename)
            parsed = parse_name(filename)
            if data is None or parsed is None:
                # What the timestamp named when this began stays for the grace; longer than that must not take.
                raise Unproved(f"{filename}, which is served, is missing from the store.")
            signatures, signed = split(filename, data)
            verify_bin(served.offline, parsed[1], filename, signatures, signed)
            yield filename, data


def archive_name(made_at: datetime, served: Served) -> str:
    """The name of an archive: its day first, so that names sort by age."""
    return f"{made_at:%Y-%m-%d}.snapshot-{served.snapshot.version}.timestamp-{served.timestamp.version}.tar.gz"


def verify(stream: BinaryIO, name: str, trusted_root: bytes) -> Archived:
    """Prove an archive from a trusted root: every signature, every digest, nothing missing, nothing beside.

    Args:
        stream: the archive.
        name: what to call it.
        trusted_root: a root that the archive must hold under its version.

    Raises:
        BadArchive: it is damaged, incomplete, or does not verify.
    """
    reader = _Reader(trusted_root=trusted_root)
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r|") as tar:
                for member in tar:
                    reader.take(member.name, _content(tar, member))
            # A tar ends before its file does: the checksum of the whole is read only now.
            if unpacked.read(_MAX_PADDING + 1).strip(b"\0"):
                raise Unproved("something follows it.")
        return reader.finish(name)
    except StoreError as error:
        raise BadArchive(f"The archive does not verify: {error.message}") from error
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise BadArchive("The archive cannot be read: it is damaged or cut short.") from error


@dataclass(kw_only=True, slots=True)
class _Writer:
    listed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, tar: tarfile.TarFile, name: str, data: bytes) -> None:
        self.listed.append({"name": name, "size": len(data), "sha256": sha256_hex(data)})
        _add(tar, name, data)

    def finish(self, tar: tarfile.TarFile, served: Served, made_at: datetime) -> None:
        """The manifest comes last: only then is all of it known."""
        manifest = {
            "format": _FORMAT,
            "made_at": made_at.isoformat(),
            "snapshot_version": served.snapshot.version,
            "timestamp_version": served.timestamp.version,
            "files": self.listed,
        }
        _add(tar, MANIFEST, json.dumps(manifest, indent=1).encode())


@dataclass(kw_only=True, slots=True)
class _Reader:
    """Takes the members one after another. What comes before the first bin is small and is kept."""

    trusted_root: bytes
    early: dict[str, bytes] = field(default_factory=dict)
    served: Served | None = None
    seen: dict[str, tuple[int, str]] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    targets: int = 0
    manifest: Mapping[str, Any] | None = None

    def take(self, name: str, data: bytes) -> None:
        if self.manifest is not None or name in self.seen:
            raise Unproved(f"{name[:80]!r} stands in it twice, or behind its manifest.")
        if name == MANIFEST:
            self.manifest = _manifest(data)
            return
        self.seen[name] = (len(data), sha256_hex(data))
        parsed = parse_name(name)
        if name == TIMESTAMP_FILE or (parsed is not None and parsed[1] in (ROOT, SNAPSHOT, *OFFLINE_DELEGATED)):
            self.early[name] = data
            return
        served = self._served()
        if parsed is None or name not in self.awaited:
            raise Unproved(f"{name[:80]!r} is not listed by its snapshot.")
        self.awaited.remove(name)
        _, targets = read_bin(served.offline, parsed[1], parsed[0], data)
        self.targets += len(targets)

    def finish(self, name: str) -> Archived:
        served = self._served()
        if self.awaited:
            raise Unproved(f"{min(self.awaited)} and {len(self.awaited) - 1} more of its bins are missing.")
        if extra := self.early.keys() - served.files.keys():
            raise Unproved(f"{min(extra)} is not named by what it holds.")
        if self.manifest is None:
            raise Unproved("it has no manifest, so it was never finished.")
        try:
            listed = {item["name"]: (item["size"], item["sha256"]) for item in self.manifest["files"]}
            made_at = datetime.fromisoformat(self.manifest["made_at"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unproved("its manifest cannot be read.") from error
        if listed != self.seen:
            raise Unproved("its manifest lists other files than it holds.")
        return Archived(
            name=name,
            made_at=made_at,
            snapshot_version=served.snapshot.version,
            timestamp_version=served.timestamp.version,
            files=len(self.seen),
            targets=self.targets,
        )

    def _served(self) -> Served:
        if self.served is None:
            self.served = read_served(self.early.get, self.trusted_root)
            self.awaited = set(self.served.bins())
        return self.served


@contextmanager
def _packed(sink: Sink) -> Iterator[tarfile.TarFile]:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=sink, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o444
    tar.addfile(member, io.BytesIO(data))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() and member.size <= _MAX_MEMBER else None
    if file is None:
        raise Unproved(f"{member.name[:80]!r} in it is not a file of metadata.")
    return file.read()


def _manifest(data: bytes) -> Mapping[str, Any]:
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise Unproved("its manifest cannot be read.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise Unproved("its manifest is not one that this version reads.")
    return manifest
