"""`gatehouse doctor`: looks at everything that must be right, and says what is not."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from gatehouse.cli.common import moment, span
from gatehouse.cli.opened import opened
from gatehouse.core.errors import GatehouseError, StoreError
from gatehouse.malware.registry import Registry
from gatehouse.wiring import Gatehouse, build_screener, open_signers
from gatehouse.worker.screening import claim_time
from gatehouse.worker.standalone import import_celery


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
        raise StoreError(
            f"{overview.dead_messages} messages in the outbox could not be worked on: see `gatehouse outbox list`."
        )
    holdings = gatehouse.health.holdings()
    return f"{holdings.projects} projects, {holdings.targets} targets, {overview.pending_changes} changes pending"


def _blobs(gatehouse: Gatehouse) -> str:
    with gatehouse.blobs.receive() as scratch:
        scratch.write(b"doctor")
        scratch.finish()
    return f"{gatehouse.settings.blobs_folder} can be written"


def _metadata(gatehouse: Gatehouse) -> str:
    gatehouse.metadata_store.probe()
    return f"{gatehouse.settings.metadata_place} keeps its promises"


def _keys(gatehouse: Gatehouse) -> str:
    with gatehouse.database.read() as transaction:
        offline = gatehouse.trust.state(transaction)
    open_signers(gatehouse.settings, offline)
    first = offline.ends()[0]
    return (
        f"every online signer is authorised; offline metadata holds until {moment(first.expires)} ({first.name})"
    )


def _checks(gatehouse: Gatehouse) -> str:
    registry = Registry.load(gatehouse.settings.packs)
    if registry.refused:
        faults = "; ".join(f"pack {pack.name}: {pack.reason}" for pack in registry.refused)
        raise StoreError(f"{faults}. Its checks do not run.")
    with gatehouse.database.read() as transaction:
        plan = gatehouse.lifecycle.plan(transaction)
        counted = transaction.checks.latest_changes()
    if not counted:
        return f"{len(plan.checks)} checks, which begin enabled when a server first runs here"
    fault = gatehouse.lifecycle.fault()
    if fault is not None:
        raise StoreError(fault)
    packs = f", {len(gatehouse.settings.packs)} packs" if gatehouse.settings.packs else ""
    waiting = "".join(f"; NOTE {line}" for line in gatehouse.lifecycle.superseded())
    return f"{len(plan.live)} of {len(plan.checks)} checks are enabled{packs}{waiting}"


def _sandbox(gatehouse: Gatehouse) -> str:
    with build_screener(gatehouse.settings) as screener:
        isolation = screener.start()
    layers = {
        "no network": isolation.namespaces,
        f"Landlock {isolation.landlock}": isolation.landlock > 0,
        "system-call filter": isolation.syscalls,
    }
    missing = "".join(f"; NOTE {fault}" for fault in isolation.faults)
    return f"children run with {', '.join(name for name, there in layers.items() if there)}{missing}"


def _broker(gatehouse: Gatehouse) -> str:
    settings = gatehouse.settings
    if not settings.broker_url:
        return "none; whoever screens looks at the database"
    celery_app = import_celery()
    broker = celery_app.Broker(celery_app.make_app(settings.broker_url, claim=claim_time(settings)))
    try:
        return f"{broker.backlog()} tasks wait there"
    finally:
        broker.close()


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
    ("checks", _checks),
    ("sandbox", _sandbox),
    ("broker", _broker),
    ("freshness", _freshness),
)
