"""Target changes written straight into the journal, and where their bins lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef, RawTarget, Target, TargetChange
from tests.support.house import House


def layout_of(home: House) -> BinLayout:
    """How many bins a house has."""
    with home.gatehouse.database.read() as transaction:
        return home.gatehouse.trust.state(transaction).layout


def some_target(path: str) -> Target:
    """A target whose content nobody fetches; its digest follows from its path."""
    return Target(path=path, sha256=hashlib.sha256(path.encode()).hexdigest(), length=len(path))


def change(path: str, *, removed: bool = False) -> TargetChange:
    """The change that sets or removes it."""
    return TargetChange(path=path, target=None if removed else some_target(path), cause="test")


def journal(home: House, *paths: str, removed: bool = False) -> None:
    """Append changes to the journal, as whoever changes the catalog would."""
    layout = layout_of(home)
    with home.gatehouse.database.write() as transaction:
        transaction.journal.append(
            [(layout.bin_of(path), change(path, removed=removed)) for path in paths], at=home.gatehouse.clock.now()
        )


def load(home: House, *paths: str) -> None:
    """Load targets past the journal, as an import would."""
    layout = layout_of(home)
    with home.gatehouse.database.write() as transaction:
        transaction.signing.load_targets(by_bin((layout.bin_of(path), some_target(path)) for path in paths))


def by_bin(rows: Iterable[tuple[BinRef, Target]]) -> dict[BinRef, list[RawTarget]]:
    """Targets as they are loaded."""
    found: dict[BinRef, list[RawTarget]] = {}
    for ref, target in rows:
        found.setdefault(ref, []).append((target.path, bytes.fromhex(target.sha256), target.length))
    return found


def bin_file(home: House, path: str) -> Path:
    """Where the file of a target's bin lies."""
    layout = layout_of(home)
    name = layout.role_name(layout.bin_of(path))
    with home.gatehouse.database.read() as transaction:
        role = transaction.signing.online_roles()[name]
    return home.gatehouse.settings.metadata_folder / f"{role.version}.{name}.json"
