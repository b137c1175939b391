"""The one place that picks adapters: from settings to the objects that web, worker and command line use."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry, Counter

from gatehouse.core.clock import Clock, SystemClock
from gatehouse.core.errors import OperatorError, SettingsError
from gatehouse.gate.accept import Accept
from gatehouse.gate.admit import Admit
from gatehouse.gate.authorize import Tokens
from gatehouse.gate.backfill import Backfill
from gatehouse.gate.bell import Bell
from gatehouse.gate.coverage import Covers
from gatehouse.gate.decide import Decide
from gatehouse.gate.encode import Encodings
from gatehouse.gate.lifecycle import Lifecycle
from gatehouse.gate.loaded import LoadedChecks
from gatehouse.gate.manage import Manage
from gatehouse.gate.ports import KeptEncodings, Purger, Screener
from gatehouse.gate.publish import Publisher
from gatehouse.gate.purge import Purges
from gatehouse.gate.runs import Runs
from gatehouse.gate.schedule import Timetable
from gatehouse.gate.screen import Screen
from gatehouse.gate.serve import Shelf
from gatehouse.gate.shadow import Shadow
from gatehouse.gate.staff import Staff
from gatehouse.gate.status import Health
from gatehouse.gate.transitions import Transitions
from gatehouse.gate.trust import Trust
from gatehouse.malware.ledger import Bounds
from gatehouse.malware.lifecycle import Plan, whole_plan
from gatehouse.malware.registry import Registry, own_names
from gatehouse.malware.weighing.model import SHIPPED, Budget
from gatehouse.sandbox.model import SandboxLimits
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.settings import Settings
from gatehouse.storage.blobs.encoded import FolderEncodings
from gatehouse.storage.blobs.folder import FolderBlobs
from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.keys.secrets import read_secret
from gatehouse.storage.keys.signers import check_signer, open_signer
from gatehouse.storage.purging.fastly import API, FastlyPurger, read_token
from gatehouse.storage.purging.varnish import VarnishPurger
from gatehouse.storage.s3.bucket import BotoBucket
from gatehouse.storage.s3.encodings import NoKeptEncodings
from gatehouse.storage.s3.metadata import S3MetadataStore
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.migrate import is_current
from gatehouse.tuf.model import Family
from gatehouse.tuf.plan import OnlineSigners
from gatehouse.tuf.ports import MetadataStore
from gatehouse.tuf.roles import Lifetimes
from gatehouse.tuf.trusted import OfflineState

log = structlog.get_logger(__name__)

#: Where compressed forms lie, in the folder of what they were made of.
ENCODED = ".encoded"
#: The share of all threads that may wait for a publication, so that the others serve.
_WAITING_SHARE = 4
#: How many bins the publisher makes and reads back at once: a folder answers, a bucket lets it wait.
_THREADS_FOR_A_FOLDER, _THREADS_FOR_S3 = 2, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Gatehouse:
    """Everything that serves, by port. Made by `build`; `close` lets go of the database."""

    settings: Settings
    clock: Clock
    database: SqlDatabase
    blobs: FolderBlobs
    metadata_store: MetadataStore
    trust: Trust
    tokens: Tokens
    accept: Accept
    admit: Admit
    manage: Manage
    shelf: Shelf
    covers: Covers
    metadata_encodings: Encodings
    page_encodings: Encodings
    health: Health
    metrics: CollectorRegistry
    screenings: Counter
    purges: Purges
    purger: Purger | None
    purge_runs: Counter
    wakes: Counter
    decide: Decide
    staff: Staff
    checks: LoadedChecks
    lifecycle: Lifecycle
    runs: Runs
    timetable: Timetable
    transitions: Transitions
    outbox_bell: Bell
    screening_bells: tuple[Bell, ...]
    runs_bell: Bell
    publisher_bell: Bell
    purge_bell: Bell
    waking_bell: Bell

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
    if settings.broker_url and settings.embedded:
        raise SettingsError("With 'broker_url' set 'database_url' too: workers share a database, not a folder.")
    purger = open_purger(settings)
    database = SqlDatabase(settings.database)
    if not is_current(database.engine):
        database.close()
        raise OperatorError("The database schema is not this version's: run `gatehouse migrate` first.")
    blobs = FolderBlobs(settings.blobs_folder)
    store = open_metadata_store(settings)
    trust = Trust()
    outbox_bell, publisher_bell, purge_bell = Bell(), Bell(), Bell()
    purges = Purges(enabled=purger is not None, ring=purge_bell)
    transitions = Transitions(blobs=blobs, trust=trust, purges=purges)
    screening_bells = tuple(Bell() for _ in range(settings.screening_slots))
    runs_bell, waking_bell = Bell(), Bell()

    def ring_for_upload() -> None:
        for bell in (outbox_bell, *screening_bells, waking_bell):
            bell()

    secret = read_secret(settings.token_secret_path)
    metrics = CollectorRegistry()
    demotions = Counter("gatehouse_check_demotions", "Tiers that checks lost.", ["check"], registry=metrics)
    checks = LoadedChecks(lambda: load_checks(settings), again=lambda: load_checks(settings, anew=True))
    lifecycle = Lifecycle(
        database=database,
        clock=clock,
        registry=checks,
        ships=lambda name: name in own_names(),
        bounds=Bounds(alarms_a_day=settings.check_alarms_a_day),
        model=SHIPPED.within(alert_budget(settings)),
        demoted=lambda check, _standing: demotions.labels(check).inc(),
        ring=runs_bell,
    )
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
        decide=Decide(
            database=database,
            clock=clock,
            transitions=transitions,
            ring=publisher_bell,
            keep_removed=settings.keep_removed_files,
        ),
        checks=checks,
        lifecycle=lifecycle,
        runs=Runs(database=database, clock=clock, ring=runs_bell),
        timetable=Timetable(database=database, clock=clock, lifecycle=lifecycle),
        transitions=transitions,
        shelf=Shelf(database=database, blobs=blobs, trust=trust),
        covers=Covers(database=database, trust=trust, waiters=settings.threads // _WAITING_SHARE),
        metadata_encodings=Encodings(kept=_kept_metadata_encodings(settings)),
        page_encodings=Encodings(kept=FolderEncodings(settings.blobs_folder / ENCODED)),
        health=Health(database=database, clock=clock, trust=trust, lifetimes=lifetimes(settings)),
        metrics=metrics,
        screenings=Counter(
            "gatehouse_screenings", "Runs of screening by outcome and tier.", ["outcome", "tier"], registry=metrics
        ),
        purges=purges,
        purger=purger,
        purge_runs=Counter(
            "gatehouse_purges", "Purges sent to the caches in front, by outcome.", ["outcome"], registry=metrics
        ),
        wakes=Counter(
            "gatehouse_wakes", "Times that workers were told of work, by outcome.", ["outcome"], registry=metrics
        ),
        outbox_bell=outbox_bell,
        screening_bells=screening_bells,
        runs_bell=runs_bell,
        publisher_bell=publisher_bell,
        purge_bell=purge_bell,
        waking_bell=waking_bell,
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
        holder=holder(),
        lease_time=settings.lease_seconds,
        purges=gatehouse.purges,
        root_grace=settings.root_grace,
        threads=_THREADS_FOR_S3 if settings.metadata_s3 else _THREADS_FOR_A_FOLDER,
    )


def open_metadata_store(settings: Settings) -> MetadataStore:
    """What holds the metadata, by the settings; a bucket is not asked anything yet.

    Raises:
        StoreError: the folder cannot be made.
        OperatorError: the bucket cannot be opened: boto3 is missing, or its settings are wrong.
    """
    address = settings.metadata_s3
    if address is None:
        return FolderMetadataStore(settings.metadata_folder)
    bucket = BotoBucket(address.bucket, endpoint=settings.metadata_s3_endpoint)
    return S3MetadataStore(bucket, address.prefix)


def _kept_metadata_encodings(settings: Settings) -> KeptEncodings:
    # Beside a bucket nothing would clean up a folder of compressed forms: there, memory keeps those asked for.
    return NoKeptEncodings() if settings.metadata_s3 else FolderEncodings(settings.metadata_folder / ENCODED)


def load_checks(settings: Settings, *, anew: bool = False) -> Registry:
    """The checks that may run: Gatehouse's own, imported `anew` or not, and those of the packs that are allowed.

    A pack that cannot be used is left out and logged as an error; the registry's `refused` has it too.
    """
    registry = Registry.load(settings.packs, anew=anew)
    for pack in registry.refused:
        log.error("a pack of checks is refused", pack=pack.name, reason=pack.reason)
    return registry


def alert_budget(settings: Settings) -> Budget:
    """How many false alarms the operator can bear."""
    return Budget(uploads=settings.uploads_a_day, queue=settings.queue_a_day, alerts=settings.alerts_a_day)


def build_plan(settings: Settings, registry: Registry) -> Plan:
    """How far each check may go where no index says so: up to its own ceiling, within the alert budget."""
    return whole_plan(registry.all(), SHIPPED.within(alert_budget(settings)))


def holder() -> str:
    """A name for this process in a lease: where it runs, for people, and what no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@contextmanager
def build_screener(settings: Settings) -> Iterator[ZygoteScreener]:
    """The sandbox that screening runs in, while the block runs. A pack that it goes without is logged."""
    if settings.packs:
        load_checks(settings)
    screener = ZygoteScreener(
        # Uploads never wait for what is done beside them: the shadow, and runs over what the index holds.
        slots=settings.screening_slots + settings.backfill_slots + 1,
        limits=SandboxLimits(seconds=settings.screening_seconds.total_seconds()),
        packs=settings.packs,
    )
    try:
        yield screener
    finally:
        screener.close()


def build_screen(gatehouse: Gatehouse, screener: Screener) -> Screen:
    """The story of a screening, with this sandbox. The checks that are there are counted, if they were not."""
    gatehouse.lifecycle.sync()
    return Screen(
        database=gatehouse.database,
        blobs=gatehouse.blobs,
        clock=gatehouse.clock,
        screener=screener,
        lifecycle=gatehouse.lifecycle,
        transitions=gatehouse.transitions,
        when_it_fails=gatehouse.settings.when_screening_fails,
        count=lambda outcome, tier: gatehouse.screenings.labels(outcome.value, tier.word).inc(),
        ring=gatehouse.publisher_bell,
    )


def build_shadow(gatehouse: Gatehouse, screener: Screener) -> Shadow:
    """The story of the checks that only watch, with this sandbox."""
    return Shadow(
        database=gatehouse.database,
        blobs=gatehouse.blobs,
        clock=gatehouse.clock,
        screener=screener,
        lifecycle=gatehouse.lifecycle,
    )


def build_backfill(gatehouse: Gatehouse, screener: Screener) -> Backfill:
    """The story of a run over what the index holds, with this sandbox."""

    def ring_for_screening() -> None:
        for bell in gatehouse.screening_bells:
            bell()

    return Backfill(
        database=gatehouse.database,
        blobs=gatehouse.blobs,
        clock=gatehouse.clock,
        screener=screener,
        lifecycle=gatehouse.lifecycle,
        seconds=gatehouse.settings.screening_seconds,
        ring=ring_for_screening,
    )


def open_purger(settings: Settings) -> Purger | None:
    """What tells the caches in front, by the settings; None if there are none.

    Raises:
        SettingsError: a setting that this kind of cache needs is missing.
        OperatorError: the token cannot be read.
    """
    match settings.purge_kind:
        case "fastly":
            if not settings.purge_service or not settings.purge_token_file:
                raise SettingsError("To purge at Fastly set 'purge_service' and 'purge_token_file'.")
            return FastlyPurger(
                service=settings.purge_service,
                token=read_token(Path(settings.purge_token_file)),
                address=settings.purge_url or API,
                soft=settings.purge_soft,
            )
        case "varnish":
            if not settings.purge_url:
                raise SettingsError("To purge Varnish set 'purge_url' to the address of each.")
            return VarnishPurger(settings.purge_url.split(), soft=settings.purge_soft)
    return None


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
