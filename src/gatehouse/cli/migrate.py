"""`gatehouse migrate`."""

from __future__ import annotations

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.storage.sql.migrate import upgrade


@click.command()
def migrate() -> None:
    """Bring the database schema to this version.

    Example: GATEHOUSE_DATABASE_URL=postgresql://host/gatehouse gatehouse migrate
    """
    upgrade(settings_from_environment().database)
    click.echo("The database schema is current.")
