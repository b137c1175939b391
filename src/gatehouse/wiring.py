"""The one place that picks adapters: from settings to the objects that web, worker and command line use."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter

from gatehouse.core.clock import Clock, SystemClock
from gatehouse.core.errors import OperatorError
from gatehouse.gate.accept import Accept
from gatehouse.gate.admit import Admit
from gatehouse.gate.authorize import Tokens
from gatehouse.gate.bell import Bell
from gatehouse.gate.decide import Decide
from gatehouse.gate.manage import Manage
from gatehouse.gate.ports import Screener
from gatehouse.gate.publish import Publisher
from gatehouse.gate.screen import Screen
from gatehouse.gate.serve import Shelf
from gatehouse.gate.staff import Staff
from gatehouse.gate.status import Health
from gatehouse.gate.transitions import Transitions
from gatehouse.gate.trust import Trust
from gatehouse.sandbox.model import SandboxLimits
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.settings import Settings
from gatehouse.storage.blobs.folder import FolderBlobs
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.keys.signers import check_signer, open_signer
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.migrate import is_current
from gatehouse.tuf.model import Family
from gatehouse.tuf.plan import OnlineSigners
from gatehouse.tuf.roles import Lifetimes
from gatehouse.tuf.trusted import OfflineState

_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Gatehouse:
    """Everything that serves, by port. Made by `build`; `close` lets go of the database."""

    settings: Settings
    clock: Clock
    database: SqlDatabase
    blobs: FolderBlobs
    metadata_store: FolderMetadataStore
    trust: Trust
    tokens: Tokens
    accept: Accept
    admit: Admit
    manage: Manage
    shelf: Shelf
    health: Health
    metrics: CollectorRegistry
    screenings: Counter
    decide: Decide
    staff: Staff
    transitions: Transitions
    outbox_bell: Bell
    screening_bells: tuple[Bell, ...]
    publisher_bell: Bell

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def build(settings: Settings, *, clock: Clock | None = None) -> Gatehouse:
    """Put the parts together.

    Raises:
        OperatorError: the database cannot be reached or is not migrated, a folder or the token secret cannot
            be used. One line says which.
    """
    clock = clock or SystemClock()
    database = SqlDatabase(settings.database)
    if not is_current(database.engine):
        database.close()
        raise OperatorError("The database schema is not this version's: run `gatehouse migrate` first.")
    blobs = FolderBlobs(settings.blobs_folder)
    store = FolderMetadataStore(settings.metadata_folder)
    trust = Trust()
    transitions = Transitions(blobs=blobs, trust=trust)
    outbox_bell, publisher_bell = Bell(), Bell()
    screening_bells = tuple(Bell() for _ in range(settings.screening_slots))

    def ring_for_upload() -> None:
        for bell in (outbox_bell, *screening_bells):
            bell()

    secret = read_token_secret(settings)
    metrics = CollectorRegistry()
    return Gatehouse(
        settings=settings,
        clock=clock,
        database=database,
        blobs=blobs,
        metadata_store=store,
        trust=trust,
        tokens=Tokens(database=database, clock=clock, secret=secret, location=settings.url()),
        accept=Accept(
            database=database,
            blobs=blobs,
            clock=clock,
            max_file_size=settings.max_file_size,
            publish_policy=settings.publish_policy,
            ring=ring_for_upload,
        ),
        admit=Admit(database=database, clock=clock, transitions=transitions, ring=publisher_bell),
        manage=Manage(database=database, clock=clock, transitions=transitions, ring=publisher_bell),
        staff=Staff(
            database=database, clock=clock, secret=secret, issuer=f"Gatehouse {urlsplit(settings.url()).hostname}"
        ),
        decide=Decide(database=database, clock=clock, transitions=transitions, ring=publisher_bell),
        transitions=transitions,
        shelf=Shelf(database=database, blobs=blobs, trust=trust),
        health=Health(database=database, clock=clock, trust=trust),
        metrics=metrics,
        screenings=Counter(
            "gatehouse_screenings", "Runs of screening by outcome and tier.", ["outcome", "tier"], registry=metrics
        ),
        outbox_bell=outbox_bell,
        screening_bells=screening_bells,
        publisher_bell=publisher_bell,
    )


def build_publisher(gatehouse: Gatehouse) -> Publisher:
    """The publisher, with the signers that the settings name.

    Raises:
        OperatorError: a signer cannot be used, or its key is not authorised for its role.
    """
    settings = gatehouse.settings
    with gatehouse.database.read() as transaction:
        offline = gatehouse.trust.state(transaction)
    return Publisher(
        database=gatehouse.database,
        store=gatehouse.metadata_store,
        trust=gatehouse.trust,
        signers=open_signers(settings, offline),
        lifetimes=lifetimes(settings),
        clock=gatehouse.clock,
        holder=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        lease_time=settings.lease_seconds,
    )


@contextmanager
def build_screener(settings: Settings) -> Iterator[ZygoteScreener]:
    """The sandbox that screening runs in, while the block runs."""
    screener = ZygoteScreener(
        slots=settings.screening_slots,
        limits=SandboxLimits(seconds=settings.screening_seconds.total_seconds()),
    )
    try:
        yield screener
    finally:
        screener.close()


def build_screen(gatehouse: Gatehouse, screener: Screener) -> Screen:
    """The story of a screening, with this sandbox."""
    return Screen(
        database=gatehouse.database,
        blobs=gatehouse.blobs,
        clock=gatehouse.clock,
        screener=screener,
        transitions=gatehouse.transitions,
        when_it_fails=gatehouse.settings.when_screening_fails,
        count=lambda outcome, tier: gatehouse.screenings.labels(outcome.value, tier.word).inc(),
        ring=gatehouse.publisher_bell,
    )


def open_signers(settings: Settings, offline: OfflineState) -> OnlineSigners:
    """The signers of the online roles, each proved to sign for a key that its role authorises."""
    timestamp = open_signer(settings.signer_uri("timestamp"))
    check_signer(timestamp, offline.timestamp_keyids, role="timestamp")
    snapshot = open_signer(settings.signer_uri("snapshot"))
    check_signer(snapshot, offline.snapshot_keyids, role="snapshot")
    bins = open_signer(settings.signer_uri("bins"))
    for family in Family:
        check_signer(bins, offline.bins_keyids[family], role="the hash bins")
    return OnlineSigners(timestamp=timestamp, snapshot=snapshot, bins=bins)


def lifetimes(settings: Settings) -> Lifetimes:
    """How long signatures hold, by the settings."""
    return Lifetimes(
        timestamp=settings.expiry_timestamp, snapshot=settings.expiry_snapshot, bin_n=settings.expiry_bins
    )


def read_token_secret(settings: Settings) -> bytes:
    """The secret of the upload tokens.

    Raises:
        OperatorError: there is none, it is too short, or others than its owner can read it.
    """
    path = settings.token_secret_path
    try:
        secret = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise OperatorError(
            f"Cannot read the token secret {path}: {error.strerror}. Run `gatehouse init`."
        ) from error
    if mode & 0o077:
        raise OperatorError(f"Others can read the token secret {path}: run `chmod 600` on it.")
    if len(secret) < _SECRET_BYTES:
        raise OperatorError(f"The token secret {path} is shorter than {_SECRET_BYTES} bytes.")
    return secret
