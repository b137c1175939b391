"""A publication is verified as clients will verify it, before its timestamp moves.

Two clients are played, each by python-tuf's own state machine with the clock set to the given moment: a fresh
one, which starts from the first root and loads every changed bin through its chain of delegations, and a
resting one, which holds the timestamp and snapshot served until now. What clients forgive and we do not is
checked beside: a snapshot entry that vanished or went back, a bin that nobody changed but the snapshot did,
files longer than clients take, bytes that do not come back from a parse and a canonical serialisation.

`TrustedMetadataSet` is a private module of python-tuf and its version is pinned by the lock: no public class
does its checks on bytes at a given moment (`Updater` wants a folder, a fetcher and the machine's clock), and a
copy of ours could err where the real one does not. A test names every method used here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from tuf.api.exceptions import ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Targets

# Private, pinned and tested: see above.
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType, UpdaterConfig

from gatehouse.core.errors import InternalError
from gatehouse.core.names import InvalidName
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import Target
from gatehouse.tuf.roles import (
    AUDIT,
    BINS,
    DELEGATOR,
    FILES_BINS,
    ROOT,
    SIMPLE_BINS,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
)
from gatehouse.tuf.trusted import route

#: What a client takes by default, in bytes, where the metadata above states no length.
_CLIENT: Final = UpdaterConfig()
#: Each offline role and who delegates to it, from the top down.
_DELEGATIONS: Final = (
    (TARGETS, ROOT),
    (AUDIT, TARGETS),
    (BINS, TARGETS),
    (SIMPLE_BINS, BINS),
    (FILES_BINS, BINS),
)


class RehearsalFailed(InternalError):
    """A client would refuse this publication, or not find in it what was meant. `role` says where."""

    code = "rehearsal-failed"

    def __init__(self, role: str, reason: object) -> None:
        super().__init__(f"The publication failed its rehearsal at {role}: {str(reason).rstrip('.')}.")
        self.role = role


def rehearse(
    *,
    roots: Sequence[bytes],
    offline: Mapping[str, bytes],
    previous: tuple[bytes, bytes] | None,
    timestamp: bytes,
    snapshot: bytes,
    bins: Mapping[str, bytes],
    expected: Mapping[str, Target | None],
    layout: BinLayout,
    now: datetime,
    unseen: AbstractSet[str] = frozenset(),
) -> None:
    """Verify a publication as a fresh and as a resting client would.

    Args:
        roots: every root, in order, from the first that a client may have been given.
        offline: the newest `targets`, `audit`, `bins`, `simple-bins` and `files-bins`, by role name.
        previous: the timestamp and the snapshot that are served now; None before the first publication.
        timestamp: the new timestamp.
        snapshot: the snapshot that it names, new or not.
        bins: every bin that is signed anew, by role name.
        expected: the targets that changed, by path; None: the target is gone. Their bins are among `bins`.
        layout: how many bins there are.
        now: the moment at which the clients look, aware.
        unseen: bins that are signed anew too and not given, where the given ones are a sample.

    Raises:
        RehearsalFailed: it does not verify; nothing of it may become visible.
    """
    for name, data in offline.items():
        _check_length(name, data, _CLIENT.targets_max_length)
    _check_length(TIMESTAMP, timestamp, _CLIENT.timestamp_max_length)
    for root in roots:
        _check_length(ROOT, root, _CLIENT.root_max_length)

    fresh = _Client.start(roots, now)
    fresh.take(TIMESTAMP, fresh.trusted.update_timestamp, timestamp)
    fresh.take(SNAPSHOT, fresh.trusted.update_snapshot, snapshot)
    for name, data in bins.items():
        # A stated length takes the place of the client's limit, and the client holds the file to it.
        meta = fresh.trusted.snapshot.meta.get(f"{name}.json")
        if meta is None or meta.length is None:
            _check_length(name, data, _CLIENT.targets_max_length)
    if previous is not None and previous[0] != timestamp:
        _rest(_Client.start(roots, now), previous, timestamp, snapshot)
    versions = {name.removesuffix(".json"): meta.version for name, meta in fresh.trusted.snapshot.meta.items()}
    _check_timestamp(fresh.trusted)
    _check_progress(versions, previous, bins.keys() | offline.keys() | unseen, layout)
    _load_delegations(fresh, offline, bins, layout)
    for name, data in ((TIMESTAMP, timestamp), (SNAPSHOT, snapshot), *bins.items()):
        _check_canonical(name, data)
    for name in bins:
        _check_bin(name, fresh.targets(name), layout)
    for path, target in expected.items():
        _check_expected(path, target, fresh, bins, layout)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Client:
    """One client: its trusted metadata, and a way to say which role it stumbled over."""

    trusted: TrustedMetadataSet

    @classmethod
    def start(cls, roots: Sequence[bytes], now: datetime) -> _Client:
        if not roots:
            raise RehearsalFailed(ROOT, "there is none")
        try:
            trusted = TrustedMetadataSet(roots[0], EnvelopeType.METADATA)
        except (RepositoryError, ValueError) as error:
            raise RehearsalFailed(ROOT, error) from error
        trusted.reference_time = now
        client = cls(trusted=trusted)
        for root in roots[1:]:
            client.take(ROOT, trusted.update_root, root)
        return client

    def take(self, role: str, update: Callable[..., object], data: bytes, *where: str) -> None:
        """Feed a file to the client.

        Raises:
            RehearsalFailed: the client refuses it.
        """
        try:
            update(data, *where)
        except (RepositoryError, ValueError, RuntimeError) as error:
            raise RehearsalFailed(role, str(error) or type(error).__name__) from error

    def targets(self, role: str) -> Targets | None:
        """The metadata of a targets role, if the client has it."""
        signed = self.trusted.get(role)
        return signed if isinstance(signed, Targets) else None


def _rest(client: _Client, previous: tuple[bytes, bytes], timestamp: bytes, snapshot: bytes) -> None:
    """Let a client that holds what was served until now take what is new, as `Updater.refresh` does."""
    # A client ignores what it holds if that no longer verifies (its key was rotated out, it has expired).
    with contextlib.suppress(RepositoryError):
        client.trusted.update_timestamp(previous[0])
    client.take(TIMESTAMP, client.trusted.update_timestamp, timestamp)
    with contextlib.suppress(RepositoryError):
        client.trusted.update_snapshot(previous[1], trusted=True)
    client.take(SNAPSHOT, client.trusted.update_snapshot, snapshot)


def _load_delegations(
    client: _Client, offline: Mapping[str, bytes], bins: Mapping[str, bytes], layout: BinLayout
) -> None:
    refs = {name: layout.parse_role(name) for name in bins}
    used = {DELEGATOR[ref.family] for ref in refs.values() if ref is not None}
    for name, parent in _DELEGATIONS:
        if name not in offline:
            raise RehearsalFailed(name, "its metadata was not given")
        try:
            client.trusted.update_delegated_targets(offline[name], name, parent)
        except ExpiredMetadataError as error:
            # An expired role blocks only what lies below it: clients still reach the rest.
            if name in (TARGETS, BINS) or name in used:
                raise RehearsalFailed(name, error) from error
        except (RepositoryError, ValueError, RuntimeError) as error:
            raise RehearsalFailed(name, error) from error
    for name, ref in refs.items():
        if ref is None:
            raise RehearsalFailed(name, "no delegation of this layout reaches it")
        client.take(name, client.trusted.update_delegated_targets, bins[name], name, DELEGATOR[ref.family])


def _check_length(role: str, data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise RehearsalFailed(role, f"{len(data):,} bytes are more than the {limit:,} that clients take")


def _check_timestamp(trusted: TrustedMetadataSet) -> None:
    meta = trusted.timestamp.snapshot_meta
    # Without a length, clients hold to a limit that a large snapshot exceeds.
    if meta.length is None or not meta.hashes or "sha256" not in meta.hashes:
        raise RehearsalFailed(TIMESTAMP, "it must state the length and the SHA-256 of its snapshot")


def _check_progress(
    versions: Mapping[str, int], previous: tuple[bytes, bytes] | None, given: AbstractSet[str], layout: BinLayout
) -> None:
    """Nothing vanished from the snapshot or went back, all bins are in it, and what moved was given."""
    before = {} if previous is None else _versions(previous[1])
    for name, version in before.items():
        if name not in versions:
            raise RehearsalFailed(SNAPSHOT, f"{name} vanished from it")
        if versions[name] < version:
            raise RehearsalFailed(SNAPSHOT, f"{name} went back from version {version} to {versions[name]}")
    for ref in layout.refs():
        if layout.role_name(ref) not in versions:
            raise RehearsalFailed(SNAPSHOT, f"{layout.role_name(ref)} is missing from it")
    for name, version in versions.items():
        if version != before.get(name) and name not in given:
            raise RehearsalFailed(SNAPSHOT, f"it lists version {version} of {name}, which nobody has checked")


def _versions(snapshot: bytes) -> dict[str, int]:
    try:
        meta = json.loads(snapshot)["signed"]["meta"]
        return {name.removesuffix(".json"): int(entry["version"]) for name, entry in meta.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RehearsalFailed(SNAPSHOT, "the one served until now cannot be read") from error


def _check_canonical(role: str, data: bytes) -> None:
    # Catches what a parser forgives: doubled keys, loose spaces, another order.
    try:
        canonical = (encode_canonical(json.loads(data)) or "").encode()
    except (FormatError, ValueError) as error:
        raise RehearsalFailed(role, "its bytes have no canonical form") from error
    if canonical != data:
        raise RehearsalFailed(role, "its bytes are not canonical")


def _check_bin(name: str, signed: Targets | None, layout: BinLayout) -> None:
    for path, target in ({} if signed is None else signed.targets).items():
        if _bin_name(path, layout) != name:
            raise RehearsalFailed(name, f"{path} does not belong there")
        if set(target.hashes) != {"sha256"} or target.unrecognized_fields:
            raise RehearsalFailed(name, f"{path} must state its length and sha256 and nothing else")


def _bin_name(path: str, layout: BinLayout) -> str:
    try:
        return layout.role_name(layout.bin_of(path))
    except InvalidName as error:
        raise RehearsalFailed(TARGETS, error) from error


def _check_expected(
    path: str, target: Target | None, client: _Client, bins: Mapping[str, bytes], layout: BinLayout
) -> None:
    name = _bin_name(path, layout)
    if name not in bins:
        raise RehearsalFailed(name, f"{path} changed in it, but it was not given")
    asked = list(route(path, client.targets))
    if asked[-1] != name:
        raise RehearsalFailed(asked[-1], f"a client would look there for {path}, which is in {name}")
    found = [
        (entry.hashes["sha256"], entry.length)
        for role in asked
        if (signed := client.targets(role)) is not None and (entry := signed.targets.get(path)) is not None
    ]
    if found != ([] if target is None else [(target.sha256, target.length)]):
        raise RehearsalFailed(name, f"{path} is not listed as it was meant to be")
