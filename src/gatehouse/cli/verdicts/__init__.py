"""`gatehouse verdicts`: a module a command."""

from __future__ import annotations

import click

from gatehouse.cli.common import GatehouseGroup

COMMANDS = ("export",)


@click.group(cls=GatehouseGroup, commands_in="gatehouse.cli.verdicts", names=COMMANDS)
def verdicts() -> None:
    """What screenings found and people decided, for other programs.

    Example: gatehouse verdicts export --format sarif
    """
