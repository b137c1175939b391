"""`gatehouse worker`."""

from __future__ import annotations

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.cli.opened import opened
from gatehouse.worker.standalone import require_shared, work


@click.command()
@click.option("--slots", type=click.IntRange(1, 64), help="How many files to screen at once.")
def worker(slots: int | None) -> None:
    """Screen uploads in a process of its own, for servers that share a PostgreSQL database.

    With GATEHOUSE_BROKER_URL it is woken over Redis; without, it looks at the database each second. It ends at
    SIGTERM, when what it has in hand is finished.

    Example: GATEHOUSE_DATABASE_URL=postgresql://gatehouse@db.invalid/gatehouse gatehouse worker --slots 4
    """
    settings = settings_from_environment({"screening_slots": slots})
    require_shared(settings)
    with opened(settings) as gatehouse:
        work(gatehouse, ready=lambda: click.echo(f"Screens {settings.screening_slots} files at once."))
    click.echo("Stopped.")
