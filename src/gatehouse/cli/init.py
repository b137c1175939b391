"""`gatehouse init`."""

from __future__ import annotations

from pathlib import Path

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.core.errors import OperatorError
from gatehouse.initialise import initialise
from gatehouse.tuf.bins import BinLayout


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The folder of the embedded state.")
@click.option(
    "--simple-bins", type=int, default=32, show_default=True, help="Hash bins for pages, a power of two."
)
@click.option("--files-bins", type=int, default=64, show_default=True, help="Hash bins for files, a power of two.")
def init(home: Path | None, simple_bins: int, files_bins: int) -> None:
    """Set up a repository with a development ceremony: all keys are made here, in files.

    PyPI's size takes 8192 bins for pages and 16384 for files.

    Example: gatehouse init --simple-bins 256 --files-bins 512
    """
    settings = settings_from_environment({"home": home})
    done = initialise(settings, BinLayout.from_counts(simple=simple_bins, files=files_bins))
    if not done.new:
        raise OperatorError("There is a repository here already; nothing was changed.")
    click.echo("A repository is set up, and its first metadata is published.")
    click.echo(f"  trusted root  {done.trusted_root}")
    click.echo(f"  keys          {done.keys_folder}")
    click.echo(
        "This was a development ceremony: every key, the root's too, was made on this machine and lies there"
    )
    click.echo("unencrypted. A real ceremony keeps root, targets and bins keys offline: docs/explanation/keys.md.")
