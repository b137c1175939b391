"""`gatehouse tuf`: a module a command."""

from __future__ import annotations

import click

from gatehouse.cli.common import GatehouseGroup

COMMANDS = (
    "status",
    "publish",
    "renew",
    "gc",
    "fsck",
    "archive",
    "rebuild",
    "import-targets",
    "observe",
    "conformance",
)


@click.group(cls=GatehouseGroup, commands_in="gatehouse.cli.tuf", names=COMMANDS)
def tuf() -> None:
    """Look after the TUF repository.

    Example: gatehouse tuf status
    """
