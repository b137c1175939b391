"""`gatehouse doctor`: looks at everything that must be right, and says what is not."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from gatehouse.cli.common import moment, span
from gatehouse.cli.opened import opened
from gatehouse.core.errors import GatehouseError, StoreError
from gatehouse.wiring import Gatehouse, open_signers


@click.command()
def doctor() -> None:
    """Look at database, stores, keys and metadata, and say what is wrong. Exits 1 if anything is.

    Example: gatehouse doctor
    """
    with opened() as gatehouse:
        results = [_examine(name, examine, gatehouse) for name, examine in _EXAMINATIONS]
    if not all(results):
        sys.exit(1)


def _examine(name: str, examine: Callable[[Gatehouse], str], gatehouse: Gatehouse) -> bool:
    try:
        finding = examine(gatehouse)
    except GatehouseError as error:
        click.echo(f"FAULT  {name}: {error.message}")
        return False
    click.echo(f"ok     {name}: {finding}")
    return True


def _database(gatehouse: Gatehouse) -> str:
    overview = gatehouse.health.overview()
    if overview.dead_messages:
        raise StoreError(f"{overview.dead_messages} messages in the outbox could not be worked on.")
    holdings = gatehouse.health.holdings()
    return f"{holdings.projects} projects, {holdings.targets} targets, {overview.pending_changes} changes pending"


def _blobs(gatehouse: Gatehouse) -> str:
    with gatehouse.blobs.receive() as scratch:
        scratch.write(b"doctor")
        scratch.finish()
    return f"{gatehouse.settings.blobs_folder} can be written"


def _metadata(gatehouse: Gatehouse) -> str:
    gatehouse.metadata_store.probe()
    return f"{gatehouse.settings.metadata_folder} keeps its promises"


def _keys(gatehouse: Gatehouse) -> str:
    with gatehouse.database.read() as transaction:
        offline = gatehouse.trust.state(transaction)
    open_signers(gatehouse.settings, offline)
    first = offline.ends()[0]
    return (
        f"every online signer is authorised; offline metadata holds until {moment(first.expires)} ({first.name})"
    )


def _freshness(gatehouse: Gatehouse) -> str:
    overview = gatehouse.health.overview()
    if overview.timestamp_expires is None:
        raise StoreError("Nothing has been published yet.")
    left = overview.timestamp_expires - overview.at
    if left.total_seconds() <= 0:
        raise StoreError(f"The timestamp expired {span(left)} ago: is the server running?")
    return f"the timestamp holds for {span(left)}"


_EXAMINATIONS: tuple[tuple[str, Callable[[Gatehouse], str]], ...] = (
    ("database", _database),
    ("blobs", _blobs),
    ("metadata", _metadata),
    ("keys", _keys),
    ("freshness", _freshness),
)
