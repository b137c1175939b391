"""`gatehouse owner list | add | remove`."""

from __future__ import annotations

import click

from gatehouse.cli.opened import opened
from gatehouse.gate.owners import Owners
from gatehouse.gate.staff import COMMAND_LINE


@click.group()
def owner() -> None:
    """List and change who owns a project. Each change is an event that checks of the index read.

    Example: gatehouse owner list example
    """


@owner.command(name="list")
@click.argument("project")
def list_owners(project: str) -> None:
    """List the owners of a project.

    Example: gatehouse owner list example
    """
    with opened() as gatehouse:
        for account in Owners(database=gatehouse.database, clock=gatehouse.clock).of(project):
            click.echo(account.name)


@owner.command()
@click.argument("project")
@click.argument("account")
def add(project: str, account: str) -> None:
    """Make an account an owner of a project.

    Example: gatehouse owner add example bob
    """
    with opened() as gatehouse:
        Owners(database=gatehouse.database, clock=gatehouse.clock).add(project, account, actor=COMMAND_LINE)
    click.echo(f"{account} owns {project} now.")


@owner.command()
@click.argument("project")
@click.argument("account")
def remove(project: str, account: str) -> None:
    """Let an account be no owner of a project any more; the last one cannot go.

    Example: gatehouse owner remove example alice
    """
    with opened() as gatehouse:
        Owners(database=gatehouse.database, clock=gatehouse.clock).remove(project, account, actor=COMMAND_LINE)
    click.echo(f"{account} does not own {project} any more.")
