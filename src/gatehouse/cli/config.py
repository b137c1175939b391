"""`gatehouse config show`."""

from __future__ import annotations

import os

import click

from gatehouse.settings import PREFIX, load, masked


@click.group()
def config() -> None:
    """Look at the settings.

    Example: gatehouse config show
    """


@config.command()
def show() -> None:
    """Print the effective settings, secrets masked, and where each came from.

    Example: gatehouse config show
    """
    loaded = load(os.environ)
    for name, origin in loaded.origins.items():
        value = masked(name, getattr(loaded.settings, name))
        click.echo(f"{PREFIX}{name.upper()}={value}  ({origin})")
