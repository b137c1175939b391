"""`gatehouse tuf status | publish | renew`."""

from __future__ import annotations

import click

from gatehouse.cli.common import moment, span
from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import Publication
from gatehouse.wiring import Gatehouse, build_publisher


@click.group()
def tuf() -> None:
    """Look after the TUF repository.

    Example: gatehouse tuf status
    """


@tuf.command()
def status() -> None:
    """Print every role with its version and expiry, and what waits to be published.

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
    click.echo(f"targets        {holdings.targets} of {holdings.projects} projects")
    click.echo(f"pending        {overview.pending_changes} target changes, {overview.waiting_messages} messages")
    if overview.dead_messages:
        click.echo(f"DEAD LETTERS   {overview.dead_messages}")
    last = overview.last_publication
    if last is not None:
        ended = moment(last.published_at) if last.published_at else "committed, not yet published"
        click.echo(f"last           publication {last.id} ({last.reason}, {last.changes} changes): {ended}")


@tuf.command()
def publish() -> None:
    """Publish what is pending now, where no server does it.

    Example: gatehouse tuf publish
    """
    _publish(renew_all=False)


@tuf.command()
def renew() -> None:
    """Sign every online role anew, due or not.

    Example: gatehouse tuf renew
    """
    _publish(renew_all=True)


def _publish(*, renew_all: bool) -> None:
    with opened() as gatehouse:
        published = _as_publisher(gatehouse, renew_all=renew_all)
    if not published:
        click.echo("There is nothing to publish.")
    for publication in published:
        click.echo(f"Published snapshot {publication.snapshot_version}: {publication.changes} target changes.")


def _as_publisher(gatehouse: Gatehouse, *, renew_all: bool) -> list[Publication]:
    publisher = build_publisher(gatehouse)
    if not publisher.start():
        raise OperatorError(
            "A server publishes already, and takes up by itself what is pending or due; stop it to do it by hand."
        )
    published = []
    try:
        while (publication := publisher.publish(renew_all=renew_all)) is not None:
            published.append(publication)
            renew_all = False
    finally:
        publisher.stop()
    return published
