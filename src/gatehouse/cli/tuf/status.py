"""`gatehouse tuf status`."""

from __future__ import annotations

import click

from gatehouse.cli.common import moment, span
from gatehouse.cli.opened import opened


@click.command()
def status() -> None:
    """Print every role with its version and expiry, what must be renewed, and what waits to be published.

    A role that must be renewed is a NOTICE, a WARNING or CRITICAL.

    Example: gatehouse tuf status
    """
    with opened() as gatehouse:
        overview = gatehouse.health.overview()
        holdings = gatehouse.health.holdings()
    click.echo(f"{'role':<22}{'version':>8}  expires")
    for role in overview.roles:
        left = role.expires - overview.at
        when = f"in {span(left)}" if left.total_seconds() > 0 else f"EXPIRED {span(left)} ago"
        name = role.name if role.count == 1 else f"{role.name} (all {role.count})"
        click.echo(f"{name:<22}{role.version:>8}  {moment(role.expires)} ({when})")
    for warning in overview.warnings:
        click.echo(f"{warning.level.name:<15}{warning.message}")
    click.echo(f"targets        {holdings.targets} of {holdings.projects} projects")
    click.echo(f"pending        {overview.pending_changes} target changes, {overview.waiting_messages} messages")
    if overview.refused_changes:
        click.echo(f"REFUSED        {overview.refused_changes} target changes that can never be published")
    if overview.dead_messages:
        click.echo(f"DEAD LETTERS   {overview.dead_messages}")
    last = overview.last_publication
    if last is not None:
        ended = moment(last.published_at) if last.published_at else "committed, not yet published"
        click.echo(f"last           publication {last.id} ({last.reason}, {last.changes} changes): {ended}")
