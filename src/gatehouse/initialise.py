"""Setting up a new repository: schema, token secret, and a development ceremony with keys in files.

A development ceremony makes every key on this machine and leaves them in the home. That is right for trying
things and for tests; it is not a key ceremony. docs/explanation/keys.md says what a real one takes.

Each step may be repeated: what exists is used again, and the offline metadata, written in one transaction,
is what makes the repository exist.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Key, Signer

from gatehouse.core.clock import Clock, SystemClock
from gatehouse.core.errors import OperatorError
from gatehouse.settings import Settings
from gatehouse.storage.keys.files import load_or_create_key
from gatehouse.storage.keys.signers import public_key_of
from gatehouse.storage.sql.database import SqlDatabase
from gatehouse.storage.sql.migrate import is_current, upgrade
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.ceremony import CeremonyKeys, development_ceremony
from gatehouse.wiring import Gatehouse, build, build_publisher, lifetimes

_ROOT_KEYS = 3
_FIRST_ROOT = "1.root.json"
_DELEGATOR_KEYS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Initialised:
    """What `initialise` did: where keys and root lie, and whether the repository is new."""

    keys_folder: Path
    trusted_root: Path
    new: bool


def initialise(settings: Settings, layout: BinLayout, *, clock: Clock | None = None) -> Initialised:
    """Set up what is missing, and publish for the first time.

    Args:
        settings: where everything lies and which signers the online roles have.
        layout: how many bins each family gets.
        clock: tells the time.

    Raises:
        OperatorError: a folder, the database or a key cannot be used.
    """
    clock = clock or SystemClock()
    _make_private_folder(settings.home)
    _make_private_folder(settings.keys_folder)
    upgrade(settings.database)
    _make_secret(settings.token_secret_path)
    new = _hold_ceremony(settings, layout, clock)
    gatehouse = build(settings, clock=clock)
    try:
        _publish_first(gatehouse)
        if settings.metadata_s3:
            _copy_root(gatehouse)
    finally:
        gatehouse.close()
    return Initialised(
        keys_folder=settings.keys_folder.absolute(),
        trusted_root=trusted_root_path(settings),
        new=new,
    )


def is_initialised(settings: Settings) -> bool:
    """Whether there is a repository: its schema is current and a ceremony has taken place."""
    if settings.embedded and not (settings.home / "gatehouse.db").exists():
        return False
    database = SqlDatabase(settings.database)
    try:
        if not is_current(database.engine):
            return False
        with database.read() as transaction:
            return bool(transaction.signing.offline_metadata())
    finally:
        database.close()


def trusted_root_path(settings: Settings) -> Path:
    """Where clients' trust begins: the first root. Where metadata lies in a bucket, a copy in the home."""
    folder = settings.home / "tuf" if settings.metadata_s3 else settings.metadata_folder
    return folder.absolute() / _FIRST_ROOT


def _hold_ceremony(settings: Settings, layout: BinLayout, clock: Clock) -> bool:
    database = SqlDatabase(settings.database)
    try:
        with database.write() as transaction:
            if transaction.signing.offline_metadata():
                return False
            now = clock.now()
            items = development_ceremony(_ceremony_keys(settings), layout, lifetimes(settings), now)
            transaction.signing.add_offline_metadata(items, at=now)
            return True
    finally:
        database.close()


def _ceremony_keys(settings: Settings) -> CeremonyKeys:
    offline = settings.keys_folder / "offline"
    _make_private_folder(offline)

    def signer(name: str) -> Signer:
        return load_or_create_key(offline / f"{name}.pem")

    return CeremonyKeys(
        root=tuple(signer(f"root-{number}") for number in range(1, _ROOT_KEYS + 1)),
        targets=tuple(signer(f"targets-{number}") for number in range(1, _DELEGATOR_KEYS + 1)),
        bins=tuple(signer(f"bins-{number}") for number in range(1, _DELEGATOR_KEYS + 1)),
        audit=signer("audit"),
        timestamp=_online_key(settings, "timestamp"),
        snapshot=_online_key(settings, "snapshot"),
        online_bins=_online_key(settings, "bins"),
        spare=signer("online-spare").public_key,
    )


def _online_key(settings: Settings, role: str) -> Key:
    uri = settings.signer_uri(role)  # type: ignore[arg-type] # the three roles that it is called with are literals
    path = Path(uri.removeprefix("file2:"))
    if path == (settings.keys_folder / "online.pem").absolute():
        # Only the key that nobody named is made here; a named one must exist.
        return load_or_create_key(path).public_key
    return public_key_of(uri)


def _publish_first(gatehouse: Gatehouse) -> None:
    publisher = build_publisher(gatehouse)
    if not publisher.start():
        return  # somebody publishes already, so there is nothing to do here
    try:
        publisher.publish()
    finally:
        publisher.stop()


def _copy_root(gatehouse: Gatehouse) -> None:
    """Put the first root where people can copy it to clients."""
    path = trusted_root_path(gatehouse.settings)
    root = gatehouse.metadata_store.read(_FIRST_ROOT)
    if root is None:
        raise OperatorError("The first root is not in the metadata store.")
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(root)
    except OSError as error:
        raise OperatorError(f"Cannot copy the first root to {path}: {error.strerror}.") from error


def _make_private_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"Cannot make the folder {path}: {error.strerror}.") from error


def _make_secret(path: Path) -> None:
    if path.exists():
        return
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        # A crash before this leaves a scratch file and no secret; a secret is whole from its first moment.
        with suppress(FileExistsError):
            os.link(scratch, path)
        scratch.unlink()
    except OSError as error:
        raise OperatorError(f"Cannot make the token secret {path}: {error.strerror}.") from error
