"""`gatehouse tuf publish`, and what `renew` shares with it."""

from __future__ import annotations

import click

from gatehouse.cli.opened import opened
from gatehouse.core.errors import OperatorError
from gatehouse.gate.ports import Publication
from gatehouse.wiring import Gatehouse, build_publisher


@click.command()
def publish() -> None:
    """Publish what is pending now, where no server does it.

    Example: gatehouse tuf publish
    """
    publish_now(renew_all=False)


def publish_now(*, renew_all: bool, clock_is_right: bool = False) -> None:
    """Publish in this process, and say what was published."""
    with opened() as gatehouse:
        publish_and_tell(gatehouse, renew_all=renew_all, clock_is_right=clock_is_right)


def publish_and_tell(gatehouse: Gatehouse, *, renew_all: bool = False, clock_is_right: bool = False) -> None:
    """Publish in this process until nothing is left, and say what was published."""
    published = _as_publisher(gatehouse, renew_all=renew_all, clock_is_right=clock_is_right)
    if not published:
        click.echo("There is nothing to publish.")
    for publication in published:
        click.echo(f"Published snapshot {publication.snapshot_version}: {publication.changes} target changes.")


def _as_publisher(gatehouse: Gatehouse, *, renew_all: bool, clock_is_right: bool) -> list[Publication]:
    publisher = build_publisher(gatehouse)
    publisher.clock_is_right = clock_is_right
    # A lease that was taken by a clock that ran ahead would hold for as long.
    if not publisher.start(steal=clock_is_right):
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
