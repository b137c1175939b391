"""`gatehouse checks`: a module a command."""

from __future__ import annotations

import click

from gatehouse.cli.common import GatehouseGroup

COMMANDS = ("list", "show", "new", "test", "state", "backfill", "compare", "run", "replay", "train", "budget")


@click.group(cls=GatehouseGroup, commands_in="gatehouse.cli.checks", names=COMMANDS)
def checks() -> None:
    """Write, test, watch and move malware checks.

    Example: gatehouse checks list
    """
