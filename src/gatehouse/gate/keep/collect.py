"""The story of a clean-up: metadata that no client can ask for any more is deleted from the store.

What is kept: everything that any snapshot from the *oldest kept* one on can name. That is the older of the
snapshot that was live one grace ago and the K-th last. Versions only rise, so whatever those snapshots name has
at least the version that the oldest of them lists: a file below that version is asked for by nobody, whatever is
published while this runs. So a clean-up and a publication need not know of each other; that only one clean-up
runs at a time spares work and nothing else. A file *above* what is served may be half of a publication under way
and is left alone.

Never deleted: a root, the timestamp, offline metadata (a few files a year, and the publisher would create them
again), and a name that the served snapshot does not list (`prove` reports it). Before anything goes the served
state is proved from the root, with the database as a second witness: deleting around a damaged repository would
destroy what it can be mended from. Implements PEP 458, "Producing consistent snapshots" (deletion of obsolete
metadata).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from gatehouse.core.clock import Clock
from gatehouse.core.errors import StoreError
from gatehouse.gate.keep.stored import Served, file_name, parse_name, read_snapshot_versions
from gatehouse.gate.keep.witness import RefusedToClean, refused, witnessed
from gatehouse.gate.ports import Database
from gatehouse.gate.trust import Trust
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.ports import MetadataStore, StoredFile
from gatehouse.tuf.render import is_as_committed
from gatehouse.tuf.roles import ROOT, SNAPSHOT

_AT_ONCE = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What a clean-up did, or would do: files and their bytes that went.

    `oldest_kept` is the version of the oldest snapshot that clients may still use; None: nothing is old enough
    yet. `waiting` is how many roles were passed over because a publication of them is under way.
    """

    oldest_kept: int | None
    files: int = 0
    bytes: int = 0
    waiting: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Collect:
    """Deletes what is obsolete.

    Attributes:
        grace: how long what was served stays there for clients in the middle of a session.
        keep: how many of the last snapshots stay, however old.
    """

    database: Database
    store: MetadataStore
    trust: Trust
    clock: Clock
    grace: timedelta
    keep: int

    def __call__(self, *, dry_run: bool = False, stopping: Callable[[], bool] = lambda: False) -> Collected:
        """Clean up once.

        Args:
            dry_run: only say what would go.
            stopping: asked between two batches; what has gone by then is gone, and the rest goes another time.

        Raises:
            RefusedToClean: what is served does not verify; nothing was deleted.
            StoreError: the store cannot be read or written.
        """
        served, online = witnessed(self.database, self.store, self.trust)
        with self.database.read() as transaction:
            candidates = transaction.keeping.last_snapshots(self.keep)
            at_grace = transaction.keeping.snapshot_at(self.clock.now() - self.grace)
        if at_grace is None or len(candidates) < self.keep:
            return Collected(oldest_kept=None)
        oldest = min(at_grace, candidates[-1])
        floors = self._floors(served, oldest)
        # What is being published anew just now cannot be compared with what was committed of it: another time.
        waiting = {role for role in floors if role in online and online[role].version != served.versions[role]}
        floors = {role: version for role, version in floors.items() if role not in waiting}
        old = self._check(served, online, floors, oldest)
        if not old:
            return Collected(oldest_kept=oldest, waiting=len(waiting))
        files, size = self._delete(_old(self.store.files(), floors, oldest), dry_run=dry_run, stopping=stopping)
        return Collected(oldest_kept=oldest, files=files, bytes=size, waiting=len(waiting))

    def _floors(self, served: Served, oldest: int) -> dict[str, int]:
        """For each bin, the lowest version that a kept snapshot can name."""
        name = file_name(oldest, SNAPSHOT)
        data = self.store.read(name)
        if data is None:
            raise RefusedToClean(
                f"Nothing was deleted: {name}, the oldest snapshot to keep, is not in the store. If the grace or "
                "the number of snapshots was raised lately, this ends by itself; `gatehouse tuf fsck` says more."
            )
        roots = {item.version: item.data for item in served.offline.roots}
        try:
            versions = read_snapshot_versions(data, oldest, roots)
        except StoreError as error:
            raise refused(error.message) from error
        for role, version in versions.items():
            if served.versions.get(role, 0) < version:
                raise refused(f"{role} went back from version {version}, which snapshot {oldest} lists.")
        return {role: version for role, version in versions.items() if served.is_bin(role)}

    def _check(
        self, served: Served, online: Mapping[str, OnlineRole], floors: Mapping[str, int], oldest: int
    ) -> bool:
        """Prove that every listed file is there, and is the committed one wherever an older one would go.

        Returns:
            Whether anything would go.
        """
        missing = {role: version for role, version in served.versions.items() if served.is_bin(role)}
        losing: set[str] = set()
        any_old = False
        for file in self.store.files():
            parsed = parse_name(file.name)
            if parsed is None:
                continue
            version, role = parsed
            if missing.get(role) == version:
                del missing[role]
                known = online.get(role)
                if known is not None and known.version == version and known.length != file.size:
                    raise refused(f"{file.name} has {file.size:,} bytes and not the {known.length:,} committed.")
            if _is_old(version, role, floors, oldest):
                any_old = True
                losing.add(role)
        if missing:
            role = min(missing)
            raise refused(f"{file_name(missing[role], role)}, which is served, is missing from the store.")
        for role in sorted(losing - {SNAPSHOT}):
            name = file_name(served.versions[role], role)
            data = self.store.read(name)
            if data is None or not is_as_committed(online[role], data):
                raise refused(f"{name}, which is served, is not the file that was committed.")
        return any_old

    def _delete(
        self, old: Iterator[StoredFile], *, dry_run: bool, stopping: Callable[[], bool]
    ) -> tuple[int, int]:
        files = size = 0
        while not stopping() and (batch := list(islice(old, _AT_ONCE))):
            # A crash amid a batch leaves some of the files: the next clean-up finds them as old as before.
            files += len(batch) if dry_run else self.store.delete(file.name for file in batch)
            size += sum(file.size for file in batch)
        return files, size


def _is_old(version: int, role: str, floors: Mapping[str, int], oldest: int) -> bool:
    if role == ROOT:
        return False
    return version < (oldest if role == SNAPSHOT else floors.get(role, 0))


def _old(files: Iterator[StoredFile], floors: Mapping[str, int], oldest: int) -> Iterator[StoredFile]:
    for file in files:
        parsed = parse_name(file.name)
        if parsed is not None and _is_old(*parsed, floors, oldest):
            yield file
