"""The command line: each command parses, calls one thing and prints. Errors are one line and exit code 2."""

from __future__ import annotations

import click

from gatehouse import __version__
from gatehouse.cli.checks import checks
from gatehouse.cli.common import GatehouseGroup
from gatehouse.cli.config import config
from gatehouse.cli.demo import demo
from gatehouse.cli.doctor import doctor
from gatehouse.cli.init import init, migrate
from gatehouse.cli.screen import screen
from gatehouse.cli.serve import serve
from gatehouse.cli.token import token
from gatehouse.cli.tuf import tuf
from gatehouse.cli.user import user


@click.group(cls=GatehouseGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gatehouse")
def main() -> None:
    """Gatehouse: the security gate of a Python package index.

    Example: gatehouse serve
    """


for command in (serve, init, demo, screen, migrate, doctor, config, token, tuf, user, checks):
    main.add_command(command)
