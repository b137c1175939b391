"""`gatehouse tuf fsck`."""

from __future__ import annotations

import sys
from collections import Counter

import click

from gatehouse.cli.opened import opened
from gatehouse.cli.progress import progress
from gatehouse.malware.inert import inert
from gatehouse.wiring.keeping import build_prove

#: Of one kind of fault, so many are shown; a store that is gone is one fault to people and not twenty thousand.
_SHOWN = 20
_MAX_LINE = 1000


@click.command()
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Read only N bins, picked by chance, and the N newest publications; every file is looked for anyway.",
)
@click.option("--blobs", is_flag=True, help="Also look for the bytes of every published file and page.")
def fsck(*, sample: int | None, blobs: bool) -> None:
    """Prove the database against itself, and the metadata that is served against the database.

    It reads only, also beside a running server. Prints a line a fault: what it is, what it means, and the repair.
    Exits 0 if all is sound and 1 if anything is not.

    Example: gatehouse tuf fsck --sample 200
    """
    found: Counter[str] = Counter()
    with opened() as gatehouse, progress() as step:
        for fault in build_prove(gatehouse)(sample=sample, with_blobs=blobs, step=step):
            found[fault.code] += 1
            if found[fault.code] <= _SHOWN:
                click.echo(f"FAULT  {inert(fault.line, limit=_MAX_LINE)}")
    for code, count in found.items():
        if count > _SHOWN:
            click.echo(f"FAULT  {code}: {count - _SHOWN} more of this kind.")
    if found:
        sys.exit(1)
    read = "" if sample is None else f", {sample} bins of them read"
    click.echo(f"ok     database and store are sound{read}{', and no blob is missing' if blobs else ''}")
