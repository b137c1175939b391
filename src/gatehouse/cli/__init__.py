"""The command line: each command parses, calls one thing and prints. Errors are one line and exit code 2."""

from __future__ import annotations

import click

from gatehouse import __version__
from gatehouse.cli.common import GatehouseGroup

#: Each command's module, imported when it is asked for: `screen` need not wait for a web server to load.
COMMANDS = (
    "serve",
    "worker",
    "init",
    "demo",
    "screen",
    "checks",
    "verdicts",
    "tuf",
    "outbox",
    "token",
    "owner",
    "user",
    "migrate",
    "config",
    "doctor",
)


@click.group(
    cls=GatehouseGroup,
    commands_in="gatehouse.cli",
    names=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="gatehouse")
def main() -> None:
    """Gatehouse: the security gate of a Python package index.

    Example: gatehouse serve
    """
