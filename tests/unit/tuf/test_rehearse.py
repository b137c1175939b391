"""A rehearsal lets a good publication pass and names what is wrong with each kind of bad one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from securesystemslib.signer import Signer
from tuf.api.exceptions import ExpiredMetadataError
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from gatehouse.core.digests import sha256_hex
from gatehouse.tuf import canonical
from gatehouse.tuf.model import Target
from gatehouse.tuf.rehearse import RehearsalFailed, rehearse
from tests.support.tuf_repository import LAYOUT, START, Repository, fixed_signer, target

FILE, OTHER = "files/spam/spam-1.0.tar.gz", "files/spam/spam-1.1.tar.gz"
BIN = LAYOUT.role_name(LAYOUT.bin_of(FILE))
HOUR = timedelta(hours=1)
END = START + timedelta(days=1)


@pytest.fixture
def repository() -> Repository:
    made = Repository()
    made.publish()
    made.publish({made.put("files/ham/ham-1.zip")})
    made.advance(HOUR)
    return made


@dataclass(kw_only=True)
class Forgery:
    """A publication that is signed properly and wrong: any part can be put in before it is rehearsed."""

    repository: Repository
    targets: list[Target] = field(default_factory=lambda: [target(FILE)])
    versions: dict[str, int] = field(default_factory=dict)
    bin_version: int = 2
    snapshot_version: int = 3
    timestamp_version: int = 3
    expires: Mapping[str, datetime] = field(default_factory=dict)
    signers: Mapping[str, Signer] = field(default_factory=dict)
    expected: dict[str, Target | None] = field(default_factory=lambda: {FILE: target(FILE)})
    mend: Callable[[str, bytes], bytes] = lambda _, signed: signed  # the signed part of each role, before signing
    sealed: Callable[[str, bytes], bytes] = lambda _, data: data  # and its file, after
    given: Callable[[dict[str, Any]], None] = lambda _: None  # and at last the arguments of the rehearsal

    def rehearse(self) -> None:
        repository, state = self.repository, self.repository.state
        bin_data = self._file(
            BIN, canonical.targets_signed(self.bin_version, self._end(BIN), self.targets), repository.signers.bins
        )
        listed = {name: role.version for name, role in repository.online.items() if "bin" in name}
        listed |= {name: role.version for name, role in state.delegated.items()}
        versions = {**listed, BIN: 2, **self.versions}
        snapshot = self._file(
            "snapshot",
            canonical.snapshot_signed(
                self.snapshot_version,
                self._end("snapshot"),
                {name: version for name, version in versions.items() if version},
            ),
            repository.signers.snapshot,
        )
        timestamp = canonical.timestamp_signed(
            self.timestamp_version,
            self._end("timestamp"),
            self.snapshot_version,
            sha256_hex(snapshot),
            len(snapshot),
        )
        arguments: dict[str, Any] = {
            "roots": [item.data for item in state.roots],
            "offline": {name: role.data for name, role in state.delegated.items()},
            "previous": repository.previous(),
            "timestamp": self._file("timestamp", timestamp, repository.signers.timestamp),
            "snapshot": snapshot,
            "bins": {BIN: bin_data},
            "expected": self.expected,
            "layout": LAYOUT,
            "now": repository.now,
        }
        self.given(arguments)
        rehearse(**arguments)

    def _end(self, role: str) -> datetime:
        return self.expires.get(role, END)

    def _file(self, role: str, signed: bytes, signer: Signer) -> bytes:
        signed = self.mend(role, signed)
        by = self.signers.get(role, signer)
        signature = by.sign(signed)
        return self.sealed(role, canonical.envelope(signed, [(by.public_key.keyid, signature.signature)]))


def in_role(role: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    """Replaces text in one role."""

    def change(name: str, data: bytes) -> bytes:
        assert name != role or old in data
        return data.replace(old, new, 1) if name == role else data

    return change


def given(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Replaces arguments of the rehearsal."""
    return lambda arguments: arguments.update(changes)


def without_length(role: str, signed: bytes) -> bytes:
    """A timestamp that leaves its clients to their own limit."""
    return re.sub(rb'"length":[0-9]+,', b"", signed) if role == "timestamp" else signed


def without_role(arguments: dict[str, Any]) -> None:
    del arguments["offline"]["audit"]


def long_bin(arguments: dict[str, Any]) -> None:
    arguments["bins"][BIN] = b" " * 5_000_001


def unknown_bin(arguments: dict[str, Any]) -> None:
    arguments["bins"]["files-bin-8"] = arguments["bins"][BIN]


def no_bins(arguments: dict[str, Any]) -> None:
    arguments["bins"] = {}


def doubled_roots(arguments: dict[str, Any]) -> None:
    arguments["roots"] *= 2


def lost_previous(arguments: dict[str, Any]) -> None:
    arguments["previous"] = (arguments["previous"][0], b'{"signed":{"meta":[]}}')


THIEF = fixed_signer("thief")
#: Two bins that this publication does not sign: one at version 1, one at version 2.
STILL = next(LAYOUT.role_name(ref) for ref in LAYOUT.refs() if LAYOUT.role_name(ref) != BIN)
HAM = LAYOUT.role_name(LAYOUT.bin_of("files/ham/ham-1.zip"))

BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("a timestamp by a thief", {"signers": {"timestamp": THIEF}}, "timestamp", "signed by 0/1 keys"),
    ("a snapshot by a thief", {"signers": {"snapshot": THIEF}}, "snapshot", "signed by 0/1 keys"),
    ("a bin by a thief", {"signers": {BIN: THIEF}}, BIN, "signed by 0/1 keys"),
    ("an ended timestamp", {"expires": {"timestamp": START}}, "timestamp", "expired"),
    ("an ended snapshot", {"expires": {"snapshot": START}}, "snapshot", "expired"),
    ("an ended bin", {"expires": {BIN: START + HOUR}}, BIN, "expired"),
    ("a later look", {"given": given(now=END)}, "timestamp", "expired"),
    ("the same timestamp version", {"timestamp_version": 2}, "timestamp", "EqualVersionNumberError"),
    ("a lower timestamp version", {"timestamp_version": 1}, "timestamp", "must be >= 2"),
    ("a lower snapshot version", {"snapshot_version": 1}, "timestamp", "snapshot version must be >= 2"),
    ("another bin version than the snapshot's", {"bin_version": 3}, BIN, "Expected .* v2, got v3"),
    ("a bin that vanished", {"versions": {STILL: 0}}, "snapshot", f"missing info for '{STILL}.json'"),
    ("a bin that went back", {"versions": {HAM: 1}}, "snapshot", f"Expected {HAM}.json version"),
    ("a bin that moved unseen", {"versions": {STILL: 2}}, "snapshot", f"version 2 of {STILL}, which nobody"),
    ("a role that came unseen", {"versions": {"files-bin-8": 1}}, "snapshot", "files-bin-8, which nobody"),
    ("a target in another's bin", {"targets": [target(OTHER), target(FILE)]}, BIN, f"{OTHER} does not belong"),
    ("a target that is not there", {"targets": []}, BIN, f"{FILE} is not listed as it was meant"),
    ("a target of another content", {"targets": [target(FILE, 2)]}, BIN, f"{FILE} is not listed as it was meant"),
    ("a target that should be gone", {"expected": {FILE: None}}, BIN, f"{FILE} is not listed as it was meant"),
    ("a change whose bin was not given", {"expected": {"simple/a/index.html": None}}, "simple-bin-", "not given"),
    (
        "a target with a custom field",
        {"mend": in_role(BIN, b'"hashes"', b'"custom":{},"hashes"')},
        BIN,
        "nothing else",
    ),
    (
        "a target with two hashes",
        {"mend": in_role(BIN, b'"hashes":{', b'"hashes":{"md5":"00",')},
        BIN,
        "nothing else",
    ),
    ("a timestamp without the length", {"mend": without_length}, "timestamp", "length"),
    ("loose spaces", {"sealed": in_role(BIN, b'"signed":', b'"signed": ')}, BIN, "not canonical"),
    ("a doubled key", {"sealed": in_role("snapshot", b"{", b'{"signed":0,')}, "snapshot", "not canonical"),
    ("a number without a canonical form", {"sealed": in_role(BIN, b"{", b'{"a":1.5,')}, BIN, "no canonical form"),
    ("a target of no family", {"mend": in_role(BIN, b'"files/', b'"evil/')}, "targets", "belongs to no bin"),
    ("a change of no family", {"expected": {"evil": None}}, "targets", "belongs to no bin"),
    ("bytes that are no JSON", {"sealed": in_role(BIN, b"{", b"")}, BIN, "Failed to deserialize"),
    ("a bin that is too long", {"given": long_bin}, BIN, "5,000,001 bytes are more"),
    ("a bin that nothing reaches", {"given": unknown_bin}, "files-bin-8", "no delegation"),
    ("no bins", {"given": no_bins}, "snapshot", f"{BIN}, which nobody"),
    ("no roots", {"given": given(roots=[])}, "root", "there is none"),
    ("a root that is none", {"given": given(roots=[b"{}"])}, "root", "Failed to deserialize"),
    ("a root twice", {"given": doubled_roots}, "root", "Expected root version 2"),
    ("an offline role left out", {"given": without_role}, "audit", "nobody has checked|not given"),
    ("a previous snapshot that cannot be read", {"given": lost_previous}, "snapshot", "cannot be read"),
]


def test_a_good_publication_passes(repository: Repository) -> None:
    Forgery(repository=repository).rehearse()


@pytest.mark.parametrize(("changes", "role", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_publication_is_refused_by_name(
    repository: Repository, changes: dict[str, Any], role: str, reason: str
) -> None:
    with pytest.raises(RehearsalFailed, match=reason) as caught:
        Forgery(repository=repository, **changes).rehearse()
    assert caught.value.role.startswith(role)
    assert caught.value.role in caught.value.message


def test_a_first_publication_without_one_of_its_bins_is_refused() -> None:
    repository = Repository()
    draft = repository.draft()

    with pytest.raises(RehearsalFailed, match=f"version 1 of {STILL}, which nobody has checked"):
        repository.rehearse(replace(draft, bins=tuple(item for item in draft.bins if item.role.name != STILL)))


def test_a_snapshot_without_a_bin_is_refused_even_if_there_was_none_before() -> None:
    repository = Repository()
    repository.publish()

    with pytest.raises(RehearsalFailed, match=f"{STILL} is missing from it"):
        Forgery(repository=repository, versions={STILL: 0}, given=given(previous=None)).rehearse()


def test_a_publication_that_is_served_already_passes_again(repository: Repository) -> None:
    """A publisher that crashed after moving the timestamp comes by here on its way to mark it."""
    draft = repository.publish({repository.put(FILE)})

    repository.rehearse(draft, {FILE: target(FILE)})


def test_what_was_served_before_may_have_ended_or_lost_its_key(repository: Repository) -> None:
    def drop(signed: Any) -> None:
        for role in ("timestamp", "snapshot"):
            signed.revoke_key(getattr(repository.keys, role).keyid, role)

    repository.add_offline([repository.resign("root", drop)])
    spare = fixed_signer("spare")
    repository.signers = replace(repository.signers, timestamp=spare, snapshot=spare)
    repository.advance(timedelta(days=3))

    repository.publish({repository.put(FILE)})


def test_a_vanished_entry_is_refused_even_where_clients_would_forgive_it(repository: Repository) -> None:
    """After the snapshot key was rotated out, a client starts afresh; whoever rested before it does not."""

    def drop(signed: Any) -> None:
        for role in ("timestamp", "snapshot"):
            signed.revoke_key(getattr(repository.keys, role).keyid, role)

    repository.add_offline([repository.resign("root", drop)])
    spare = fixed_signer("spare")
    repository.signers = replace(repository.signers, timestamp=spare, snapshot=spare)

    with pytest.raises(RehearsalFailed, match=f"{STILL} vanished from it"):
        Forgery(repository=repository, versions={STILL: 0}).rehearse()
    with pytest.raises(RehearsalFailed, match=f"{HAM} went back from version 2 to 1"):
        Forgery(repository=repository, versions={HAM: 1}).rehearse()


def test_expired_delegations_block_only_what_lies_below_them(repository: Repository) -> None:
    ended = [
        repository.resign(role, lambda signed: setattr(signed, "expires", START))
        for role in ("audit", "simple-bins")
    ]
    repository.add_offline(ended)
    draft = repository.draft({repository.put(FILE)})
    repository.rehearse(draft, {FILE: target(FILE)})

    repository.add_offline([repository.resign("files-bins", lambda signed: setattr(signed, "expires", START))])
    with pytest.raises(RehearsalFailed, match=r"files-bins: New files-bins is expired"):
        Forgery(repository=repository).rehearse()


def test_the_private_class_of_python_tuf_still_has_what_is_used_of_it(repository: Repository) -> None:
    """If this fails after an upgrade, read its new code before mending `rehearse`."""
    used = {
        "update_root",
        "update_timestamp",
        "update_snapshot",
        "update_delegated_targets",
        "timestamp",
        "snapshot",
    }

    assert used <= set(dir(TrustedMetadataSet))
    trusted = TrustedMetadataSet(repository.offline[0].data, EnvelopeType.METADATA)
    trusted.reference_time = START + timedelta(days=365)
    with pytest.raises(ExpiredMetadataError, match=r"Final root\.json is expired"):
        trusted.update_timestamp(b"")
