"""`--folder` of the commands about checks: whose checks they are about; and the packs that are not among them."""

from __future__ import annotations

from pathlib import Path

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.malware import packs
from gatehouse.malware.registry import Registry

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def registry_of(folder: Path | None) -> Registry:
    """The checks of a folder; without one, Gatehouse's own and those of the packs that the settings allow."""
    return Registry.load(settings_from_environment().packs) if folder is None else Registry.of_folder(folder)


def tell_refused(registry: Registry) -> bool:
    """Print a line for every pack that is asked for and refused; whether there is one."""
    for pack in registry.refused:
        click.echo(f"REFUSED  pack {pack.name}: {pack.reason}")
    return bool(registry.refused)


def tell_idle() -> None:
    """Print a line for every pack that is installed and not allowed: to be there is not enough."""
    allowed = {packs.normalized(name) for name in settings_from_environment().packs}
    for name, version in packs.installed().items():
        if name not in allowed:
            click.echo(f"idle  pack {name} {version} is installed; GATEHOUSE_CHECK_PACKS does not name it")
