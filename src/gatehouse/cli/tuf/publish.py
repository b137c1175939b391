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


def publish_now(*, renew_all: bool) -> None:
    """Publish in this process, and say what was published."""
    with opened() as gatehouse:
        publish_and_tell(gatehouse, renew_all=renew_all)


def publish_and_tell(gatehouse: Gatehouse, *, renew_all: bool = False) -> None:
    """Publish in this process until nothing is left, and say what was published."""
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
