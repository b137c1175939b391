"""`gatehouse demo`: plays the story of an upload by itself, and believes nothing that it has not verified."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from gatehouse.cli.demo.story import StoryError, tell


@click.command()
def demo() -> None:
    """Play the whole story on a temporary home: upload, screen, verify, install, hold, decide, crash.

    Exits 0 only if every step was verified.

    Example: gatehouse demo
    """
    with tempfile.TemporaryDirectory(prefix="gatehouse-demo-") as folder:
        try:
            tell(Path(folder), click.echo)
        except StoryError as error:
            click.echo(f"FAILED: {error}", err=True)
            sys.exit(1)
    click.echo("Every step was verified.")
