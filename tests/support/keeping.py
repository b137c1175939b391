"""What the tests of clean-up, proof, archive and rebuild share: a house with a history, and its parts."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from gatehouse.gate.keep.collect import Collect
from gatehouse.gate.keep.prove import Fault, Prove
from gatehouse.gate.keep.rebuild import Rebuild
from gatehouse.gate.keep.sweep import Sweep
from gatehouse.gate.ports import Database
from gatehouse.tuf.ports import MetadataStore
from tests.support.house import House

GRACE = timedelta(hours=1)


def metadata(home: House) -> Path:
    """The folder of the metadata."""
    return home.gatehouse.settings.metadata_folder


def stored(home: House) -> dict[str, bytes]:
    """Every metadata file by name."""
    return {path.name: path.read_bytes() for path in metadata(home).glob("*.json")}


def versions(home: House, role: str) -> list[int]:
    """The versions of a role that are in the store."""
    return sorted(int(name.split(".")[0]) for name in stored(home) if name.split(".")[1:-1] == [role])


def collector(
    home: House,
    *,
    grace: timedelta = GRACE,
    keep: int = 1,
    store: MetadataStore | None = None,
    database: Database | None = None,
) -> Collect:
    """A clean-up of the house's metadata."""
    gatehouse = home.gatehouse
    return Collect(
        database=database or gatehouse.database,
        store=store or gatehouse.metadata_store,
        trust=gatehouse.trust,
        clock=gatehouse.clock,
        grace=grace,
        keep=keep,
    )


def sweeper(home: House, *, grace: timedelta = timedelta(0)) -> Sweep:
    """A sweep of the house's blobs."""
    gatehouse = home.gatehouse
    return Sweep(
        database=gatehouse.database,
        blobs=gatehouse.blobs,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        clock=gatehouse.clock,
        grace=grace,
    )


def faults(home: House, *, sample: int | None = None, with_blobs: bool = True) -> list[Fault]:
    """What a proof finds."""
    gatehouse = home.gatehouse
    prove = Prove(
        database=gatehouse.database,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        blobs=gatehouse.blobs,
        chance=random.Random(1),  # noqa: S311 -- the same sample in every run
    )
    return list(prove(sample=sample, with_blobs=with_blobs))


def rebuilder(home: House, database: Database | None = None) -> Rebuild:
    """A rebuild of the house's database, or of another, from the house's store."""
    gatehouse = home.gatehouse
    return Rebuild(
        database=database or gatehouse.database,
        store=gatehouse.metadata_store,
        clock=gatehouse.clock,
        holder="the rebuild of a test",
    )


def trusted_root(home: House) -> bytes:
    """The first root."""
    return (metadata(home) / "1.root.json").read_bytes()


def restored(home: House, meanwhile: Callable[[], None]) -> None:
    """Back the database up, let something happen, and restore the backup: the store is then ahead."""
    path = home.gatehouse.settings.home / "gatehouse.db"
    backup = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    meanwhile()
    if home.publisher.at_work:
        home.publisher.stop()
    home.gatehouse.database.close()
    for leftover in path.parent.glob("gatehouse.db-*"):
        leftover.unlink()
    shutil.move(backup, path)
    if home.clock is not None:
        # The publisher's lease came back with the backup; it ends by itself.
        home.clock.advance(timedelta(minutes=1))


def damage(home: House, statement: str) -> None:
    """Change the database behind everybody's back."""
    with home.gatehouse.database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
