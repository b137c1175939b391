"""What keeps, proves and mends the store, from the parts of the house: for the loops and for `gatehouse tuf`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.core.clock import Clock, SystemClock
from gatehouse.core.errors import OperatorError
from gatehouse.gate.import_targets import ImportTargets
from gatehouse.gate.keep.archive import Archive
from gatehouse.gate.keep.collect import Collect
from gatehouse.gate.keep.keeper import Keeper
from gatehouse.gate.keep.prove import Prove
from gatehouse.gate.keep.rebuild import Rebuild
from gatehouse.gate.keep.sweep import Discard, Sweep
from gatehouse.settings import Settings
from gatehouse.storage.blobs.archives import FolderArchives
from gatehouse.storage.spool import folder_spool
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.wiring import Gatehouse, holder, open_metadata_store


def build_keeper(gatehouse: Gatehouse) -> Keeper:
    """What cleans up, sweeps and archives, by the settings.

    Raises:
        StoreError: the folder of the archives cannot be made.
    """
    settings, database, clock = gatehouse.settings, gatehouse.database, gatehouse.clock
    store, blobs, trust = gatehouse.metadata_store, gatehouse.blobs, gatehouse.trust

    return Keeper(
        database=database,
        clock=clock,
        holder=holder(),
        collect=Collect(
            database=database,
            store=store,
            trust=trust,
            clock=clock,
            grace=settings.metadata_grace,
            keep=settings.metadata_snapshots,
        ),
        sweep=Sweep(
            database=database,
            blobs=blobs,
            store=store,
            trust=trust,
            clock=clock,
            grace=settings.metadata_grace,
        ),
        archive=build_archive(gatehouse) if settings.metadata_archive else None,
    )


def build_archive(gatehouse: Gatehouse) -> Archive:
    """What archives the metadata.

    Raises:
        OperatorError: the settings name no folder, or it cannot be made.
    """
    settings = gatehouse.settings
    if not settings.metadata_archive:
        raise OperatorError("Set GATEHOUSE_METADATA_ARCHIVE to the folder that archives go to.")
    return Archive(
        database=gatehouse.database,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        archives=FolderArchives(Path(settings.metadata_archive)),
        clock=gatehouse.clock,
    )


def build_prove(gatehouse: Gatehouse) -> Prove:
    """What proves database, store and blobs."""
    return Prove(
        database=gatehouse.database,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        blobs=gatehouse.blobs,
    )


def build_discard(gatehouse: Gatehouse) -> Discard:
    """What deletes the bytes of removed files where they may not be kept."""
    return Discard(database=gatehouse.database, blobs=gatehouse.blobs)


@contextmanager
def build_import(gatehouse: Gatehouse, spool: Path) -> Iterator[ImportTargets]:
    """What imports lists of targets, while the block runs.

    Args:
        gatehouse: the parts.
        spool: a folder with room for all rows.

    Raises:
        StoreError: nothing can be written there.
    """
    with folder_spool(spool) as rows:
        yield ImportTargets(database=gatehouse.database, trust=gatehouse.trust, clock=gatehouse.clock, spool=rows)


def build_rebuild(settings: Settings, database: SqlDatabase, *, clock: Clock | None = None) -> Rebuild:
    """What writes the signing state of a database anew, which need not be that of a repository yet."""
    return Rebuild(
        database=database,
        store=open_metadata_store(settings),
        clock=clock or SystemClock(),
        holder=holder(),
        # Whoever owns the home is alone with its database.
        steal=settings.embedded,
    )
