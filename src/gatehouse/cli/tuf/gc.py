"""`gatehouse tuf gc`."""

from __future__ import annotations

import click

from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.keep.collect import Collected
from gatehouse.gate.keep.keeper import Keeper, alone
from gatehouse.wiring.keeping import build_keeper


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def gc(*, dry_run: bool) -> None:
    """Delete obsolete metadata, and files and pages that nothing names. A server does it by itself.

    What clients may still ask for stays: see GATEHOUSE_METADATA_GRACE and GATEHOUSE_METADATA_SNAPSHOTS. Nothing is
    deleted if what is served does not verify.

    Example: gatehouse tuf gc --dry-run
    """
    with opened() as gatehouse:
        keeper = build_keeper(gatehouse)
        if dry_run:
            _clean(keeper, dry_run=True)
            return
        with alone(gatehouse.database, keeper.holder, gatehouse.clock) as mine:
            if not mine:
                raise OperatorError("A server cleans up at this moment: let it finish, or add --dry-run to look.")
            _clean(keeper, dry_run=False)


def _clean(keeper: Keeper, *, dry_run: bool) -> None:
    done = "would go" if dry_run else "deleted"
    collected = keeper.collect(dry_run=dry_run)
    click.echo(f"metadata  {collected.files} files {done} ({collected.bytes:,} bytes){_why(collected)}")
    swept = keeper.sweep(dry_run=dry_run)
    click.echo(f"blobs     {swept.blobs} of {swept.seen} {done} ({swept.bytes:,} bytes)")


def _why(collected: Collected) -> str:
    if collected.oldest_kept is None:
        return ": nothing that was replaced is old enough yet"
    waiting = f"; {collected.waiting} roles are being published and wait" if collected.waiting else ""
    return f", snapshot {collected.oldest_kept} is the oldest kept{waiting}"
