"""`gatehouse token create | list | revoke`."""

from __future__ import annotations

from datetime import timedelta

import click

from gatehouse.cli.common import moment
from gatehouse.cli.opened import opened

_LONGEST_DAYS = 3650


@click.group()
def token() -> None:
    """Make, list and revoke upload tokens.

    Example: gatehouse token list
    """


@token.command()
@click.option("--account", required=True, help="Whose token; the account is made if there is none.")
@click.option("--project", "projects", multiple=True, help="Limit it to this project; may be repeated.")
@click.option("--days", type=click.IntRange(1, _LONGEST_DAYS), help="How long it lives; without, until revoked.")
@click.option("--description", default="", help="What it is for, for the list.")
def create(account: str, projects: tuple[str, ...], days: int | None, description: str) -> None:
    """Make a token and print it. It is not shown again: the database cannot make it.

    Example: gatehouse token create --account alice --project example --days 90
    """
    lifetime = None if days is None else timedelta(days=days)
    with opened() as gatehouse:
        click.echo(gatehouse.tokens.create(account, description=description, projects=projects, lifetime=lifetime))


@token.command(name="list")
def list_tokens() -> None:
    """List all tokens, oldest first.

    Example: gatehouse token list
    """
    with opened() as gatehouse:
        for record in gatehouse.tokens.list():
            ends = (
                f"revoked {moment(record.revoked_at)}"
                if record.revoked_at
                else f"ends {moment(record.expires_at)}"
            )
            scope = ", ".join(record.projects) or "all projects"
            click.echo(
                f"{record.id}  {record.account.name}  {scope}  made {moment(record.created_at)}  {ends}  "
                f"used {moment(record.last_used_at)}  {record.description}".rstrip()
            )


@token.command()
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """End a token now, by its id.

    Example: gatehouse token revoke 0123456789abcdef0123456789abcdef
    """
    with opened() as gatehouse:
        gatehouse.tokens.revoke(token_id)
    click.echo("The token has ended.")
