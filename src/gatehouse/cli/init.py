"""`gatehouse init`."""

from __future__ import annotations

from pathlib import Path

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.core.errors import OperatorError
from gatehouse.initialise import initialise
from gatehouse.tuf.bins import BinLayout, advise

#: For thousands of files, as `serve` sets up by itself.
_SIMPLE_BINS, _FILES_BINS = 32, 64
#: An index has about twenty files a project, and two pages.
_FILES_A_PAGE = 10


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The folder of the embedded state.")
@click.option("--expect-files", type=click.IntRange(1), help="How many files it will hold; bins follow from it.")
@click.option("--simple-bins", type=int, help="Hash bins for pages, a power of two. Without: 32, or as expected.")
@click.option("--files-bins", type=int, help="Hash bins for files, a power of two. Without: 64, or as expected.")
def init(home: Path | None, expect_files: int | None, simple_bins: int | None, files_bins: int | None) -> None:
    """Set up a repository with a development ceremony: all keys are made here, in files.

    PyPI's size takes 8192 bins for pages and 16384 for files.

    Example: gatehouse init --expect-files 1000000
    """
    settings = settings_from_environment({"home": home})
    if simple_bins is None:
        simple_bins = advise(expect_files // _FILES_A_PAGE) if expect_files else _SIMPLE_BINS
    if files_bins is None:
        files_bins = advise(expect_files) if expect_files else _FILES_BINS
    layout = BinLayout.from_counts(simple=simple_bins, files=files_bins)
    done = initialise(settings, layout)
    if not done.new:
        raise OperatorError("There is a repository here already; nothing was changed.")
    click.echo("A repository is set up, and its first metadata is published.")
    click.echo(f"  trusted root  {done.trusted_root}")
    click.echo(f"  keys          {done.keys_folder}")
    click.echo(
        "This was a development ceremony: every key, the root's too, was made on this machine and lies there"
    )
    click.echo("unencrypted. A real ceremony keeps root, targets and bins keys offline: docs/explanation/keys.md.")
