"""`gatehouse tuf archive`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gatehouse.cli.common import moment
from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.keep.archive import BadArchive, verify
from gatehouse.wiring.keeping import build_archive

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--verify", "archived", type=_FILE, help="Prove this archive instead of writing one.")
@click.option("--root", type=_FILE, help="The trusted root to prove it from; needs nothing else of this index.")
def archive(archived: Path | None, root: Path | None) -> None:
    """Write all metadata that is served into one file, once; or prove such a file.

    Writes into the folder of GATEHOUSE_METADATA_ARCHIVE, as a server does every day. A proof exits 1 if the
    archive is damaged, incomplete, or not what the root vouches for.

    Example: gatehouse tuf archive --verify 2026-05-01.snapshot-7.timestamp-9.tar.gz --root 1.root.json
    """
    if archived is not None:
        _prove(archived, root)
        return
    if root is not None:
        raise click.UsageError("--root belongs to --verify.")
    with opened() as gatehouse:
        done = build_archive(gatehouse)()
        folder = Path(gatehouse.settings.metadata_archive)
    click.echo(f"{folder / done.name}: snapshot {done.snapshot_version}, {done.files} files")


def _prove(archived: Path, root: Path | None) -> None:
    if root is None:
        raise click.UsageError("--verify needs --root: an archive proves nothing by itself.")
    try:
        with archived.open("rb") as stream:
            done = verify(stream, archived.name, root.read_bytes())
    except BadArchive as error:
        click.echo(f"FAULT  {archived}: {error.message}")
        sys.exit(1)
    except OSError as error:
        raise OperatorError(f"Cannot read {archived} or {root}: {error.strerror}.") from error
    click.echo(
        f"ok     {archived}: made {moment(done.made_at)}, snapshot {done.snapshot_version}, {done.files} files, "
        f"{done.targets} targets"
    )
