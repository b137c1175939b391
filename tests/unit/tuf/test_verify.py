"""The incremental rehearsal lets through what was meant and nothing else, whatever is signed properly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from securesystemslib.signer import Signer

from gatehouse.core.digests import sha256_hex
from gatehouse.tuf.authority import RootAuthority, in_caches, over_bins
from gatehouse.tuf.canonical import envelope
from gatehouse.tuf.model import Family, OnlineRole, Target
from gatehouse.tuf.plan import SignedRole
from gatehouse.tuf.rehearse import RehearsalFailed
from gatehouse.tuf.verify import verify_bin, verify_snapshot, verify_timestamp
from tests.support.tuf_repository import LAYOUT, START, Repository, fixed_signer, target, timestamp_of

#: Eight paths of one bin, in order: three are there, two come, one is replaced, one goes, one never was.
MANY = sorted(
    path
    for path in (f"files/p{number}/p-{number % 7}.zip" for number in range(400))
    if LAYOUT.bin_of(path) == LAYOUT.bin_of("files/p0/p-0.zip")
)[:8]
FIRST, GOES, STAYS, COMES, REPLACED, LAST, NEW_LAST, NEVER = MANY
REF = LAYOUT.bin_of(FIRST)
ELSEWHERE = next(path for path in (f"files/a/{number}" for number in range(99)) if LAYOUT.bin_of(path) != REF)
BIN = LAYOUT.role_name(REF)
EXPECTED: dict[str, Target | None] = {
    COMES: target(COMES),
    REPLACED: target(REPLACED, 2),
    GOES: None,
    NEVER: None,
    NEW_LAST: target(NEW_LAST),
}
THIEF = fixed_signer("thief")
#: A bin that this publication does not sign, and one whose versions went on before.
STILL = next(LAYOUT.role_name(ref) for ref in LAYOUT.refs() if ref != REF)


@dataclass(kw_only=True)
class Publication:
    """A good publication over a good one; a test replaces what it likes before it is verified."""

    repository: Repository = field(default_factory=Repository)

    def __post_init__(self) -> None:
        repository = self.repository
        repository.publish({repository.put(path) for path in (FIRST, GOES, STAYS, REPLACED, LAST)})
        repository.advance(timedelta(hours=1))
        self.before = dict(repository.online)
        self.before_bin = repository.files[f"metadata/1.{BIN}.json"]
        for path, item in EXPECTED.items():
            if item is None:
                repository.targets.pop(path, None)
            else:
                repository.targets[path] = item
        self.draft = repository.draft({REF})
        (self.bin,) = self.draft.bins
        assert self.draft.snapshot is not None
        self.snapshot = self.draft.snapshot
        self.timestamp = timestamp_of(self.draft)
        # Read once: a table of forgeries asks for it thousands of times.
        self.state = repository.state
        self.root = RootAuthority.parse(self.state.roots[-1])
        self.over_bins = over_bins(self.state, Family.FILES)
        self.names = repository.committed.names()

    def forged(self, of: SignedRole, signed: bytes, *, signer: Signer | None = None, **role: Any) -> SignedRole:
        """The role with another signed part, signed properly, and committed as it is."""
        signers = {"snapshot": self.repository.signers.snapshot, "timestamp": self.repository.signers.timestamp}
        by = signer or signers.get(of.role.name, self.repository.signers.bins)
        data = envelope(signed, [(by.public_key.keyid, by.sign(signed).signature)])
        return SignedRole(role=replace(of.role, length=len(data), sha256=sha256_hex(data), **role), data=data)

    def verify_bin(self, made: SignedRole | None = None, **changes: Any) -> None:
        made = made or self.bin
        arguments: dict[str, Any] = {
            "role": made.role,
            "layout": LAYOUT,
            "ref": REF,
            "authorities": [self.over_bins],
            "previous": (self.before[BIN], self.before_bin),
            "expected": EXPECTED,
            "now": self.repository.now,
        }
        verify_bin(made.data, **(arguments | changes))

    def verify_snapshot(self, made: SignedRole | None = None, **changes: Any) -> None:
        made = made or self.snapshot
        arguments: dict[str, Any] = {
            "role": made.role,
            "authorities": [self.root.snapshot],
            "previous": (self.before["snapshot"], self.repository.snapshot()),
            "changed": {BIN: (self.bin.role.version, self.bin.role.length)},
            "offline": {name: role.version for name, role in self.state.delegated.items()},
            "names": self.names,
            "now": self.repository.now,
        }
        verify_snapshot(made.data, **(arguments | changes))

    def verify_timestamp(self, made: SignedRole | None = None, **changes: Any) -> None:
        made = made or self.timestamp
        arguments: dict[str, Any] = {
            "role": made.role,
            "authorities": [self.root.timestamp],
            "previous": self.before["timestamp"],
            "snapshot": self.snapshot.data,
            "snapshot_role": self.snapshot.role,
            "previous_snapshot": self.before["snapshot"],
            "now": self.repository.now,
        }
        verify_timestamp(made.data, **(arguments | changes))


@pytest.fixture(scope="module")
def publication() -> Publication:
    return Publication()


def signed_of(made: SignedRole) -> bytes:
    return made.data[made.data.index(b'"signed":') + 9 : -1]


def test_what_was_meant_passes(publication: Publication) -> None:
    publication.verify_bin()
    publication.verify_snapshot()
    publication.verify_timestamp()
    # And as the first of all, or rendered whole, where there is nothing to compare with.
    publication.verify_bin(previous=(publication.before[BIN], None))


@pytest.mark.parametrize("which", ["bin", "snapshot", "timestamp"])
def test_no_byte_can_be_changed_lost_or_doubled_under_a_good_signature(
    publication: Publication, which: str
) -> None:
    made: SignedRole = getattr(publication, which)
    verify: Callable[..., None] = getattr(publication, f"verify_{which}")
    signed = signed_of(made)
    verify(made, authorities=[])
    for at in range(len(signed)):
        for other in (bytes([signed[at] ^ 1]), b"", signed[at : at + 1] * 2):
            data = envelope(signed[:at] + other + signed[at + 1 :], made.role.signatures)
            tampered = SignedRole(role=replace(made.role, length=len(data), sha256=sha256_hex(data)), data=data)
            # No authority: every signature is taken for good, so that only the bytes are judged.
            with pytest.raises(RehearsalFailed):
                verify(tampered, authorities=[])


@pytest.mark.parametrize("which", ["bin", "snapshot", "timestamp"])
def test_no_byte_can_be_changed_without_a_signature(publication: Publication, which: str) -> None:
    made: SignedRole = getattr(publication, which)
    for at in range(0, len(made.data), 3):
        data = made.data[:at] + bytes([made.data[at] ^ 1]) + made.data[at + 1 :]
        with pytest.raises(RehearsalFailed):
            getattr(publication, f"verify_{which}")(replace(made, data=data))


def entry(path: str, edition: int = 1) -> bytes:
    item = target(path, edition)
    return f'"{path}":{{"hashes":{{"sha256":"{item.sha256}"}},"length":{item.length}}}'.encode()


def moved(signed: bytes, part: bytes, before: bytes) -> bytes:
    """An entry put before another, out of order."""
    rest = signed.replace(part + b",", b"", 1)
    return rest.replace(before, part + b"," + before, 1)


BIN_FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an entry that vanished": (lambda s: s.replace(entry(STAYS) + b",", b""), "not meant to"),
    "the first entry vanished": (lambda s: s.replace(entry(FIRST) + b",", b""), "not meant to"),
    "an entry nobody asked for": (
        lambda s: s.replace(entry(LAST), entry(LAST) + b"," + entry(f"{LAST}a")),
        "not meant",
    ),
    "an entry of other content": (lambda s: s.replace(entry(STAYS), entry(STAYS, 2)), "not meant to"),
    "an entry that should be gone": (
        lambda s: s.replace(entry(STAYS), entry(GOES) + b"," + entry(STAYS)),
        "not meant",
    ),
    "a new entry left out": (lambda s: s.replace(entry(COMES) + b",", b""), f"{COMES} is not listed"),
    "an entry not replaced": (
        lambda s: s.replace(entry(REPLACED, 2), entry(REPLACED)),
        f"{REPLACED} is not listed",
    ),
    "a new entry twice": (lambda s: s.replace(entry(COMES), entry(COMES) + b"," + entry(COMES)), "out of order"),
    "a new entry out of order": (lambda s: moved(s, entry(COMES), entry(FIRST)), "out of order|not meant"),
    "old entries out of order": (lambda s: moved(s, entry(STAYS), entry(FIRST)), "not meant"),
    "another type": (lambda s: s.replace(b'"targets",', b'"target_",'), "type, expiry"),
    "a field between": (lambda s: s.replace(b'"targets":{', b'"a":1,"targets":{'), "type, expiry"),
    "delegations": (lambda s: s.replace(b'"expires"', b'"delegations":{},"expires"'), "type, expiry"),
    "nothing at all": (lambda _: b"{}", "type, expiry"),
}


@pytest.mark.parametrize("name", BIN_FORGERIES)
def test_a_bin_that_is_signed_properly_and_wrong_is_refused(publication: Publication, name: str) -> None:
    forge, message = BIN_FORGERIES[name]
    signed = signed_of(publication.bin)
    assert forge(signed) != signed
    with pytest.raises(RehearsalFailed, match=message) as caught:
        publication.verify_bin(publication.forged(publication.bin, forge(signed)))
    assert caught.value.role == BIN


def test_roles_that_are_not_what_would_be_committed_are_refused(publication: Publication) -> None:
    made, now = publication.bin, publication.repository.now
    misplaced = next(path for path in (f"files/q/{n}" for n in range(99)) if LAYOUT.bin_of(path) != REF)
    wrong: list[tuple[Mapping[str, Any], str]] = [
        ({"role": replace(made.role, version=3)}, "version 2 must follow"),
        ({"role": replace(made.role, name=STILL)}, "version 2 must follow"),
        ({"role": replace(made.role, expires=now)}, "expired"),
        ({"role": replace(made.role, expires=made.role.expires + timedelta(seconds=1))}, "type, expiry"),
        ({"role": replace(made.role, length=made.role.length + 1)}, "would be committed"),
        ({"previous": (replace(publication.before[BIN], version=2), publication.before_bin)}, "version 3 must"),
        ({"previous": (publication.before[BIN], publication.snapshot.data)}, "type, expiry"),
        ({"expected": {**EXPECTED, misplaced: None}}, f"{misplaced} does not belong"),
        ({"expected": {**EXPECTED, "evil": None}}, "belongs to no bin"),
        ({"expected": {**EXPECTED, STAYS: target(STAYS, 2)}}, f"{STAYS} is not listed"),
        ({"now": START + timedelta(days=2)}, "expired"),
    ]
    for changes, message in wrong:
        with pytest.raises(RehearsalFailed, match=message):
            publication.verify_bin(**changes)


def test_a_key_that_is_not_authorised_signs_nothing(publication: Publication) -> None:
    for which in ("bin", "snapshot", "timestamp"):
        made: SignedRole = getattr(publication, which)
        with pytest.raises(RehearsalFailed, match="is not authorised by"):
            getattr(publication, f"verify_{which}")(publication.forged(made, signed_of(made), signer=THIEF))
    keyid = publication.repository.signers.bins.public_key.keyid
    stolen = publication.forged(publication.bin, signed_of(publication.bin), signer=THIEF)
    named = replace(stolen, data=stolen.data.replace(THIEF.public_key.keyid.encode(), keyid.encode()))
    with pytest.raises(RehearsalFailed, match="does not verify by files-bins 1"):
        publication.verify_bin(named)


WHOLE_FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a custom field": (lambda s: s.replace(b'"hashes"', b'"custom":{},"hashes"', 1), "grammar"),
    "a quote": (lambda s: s.replace(b"files/", b'files/"', 1), "grammar"),
    "out of order": (lambda s: moved(s, entry(LAST), entry(FIRST)), "out of order"),
    "another's entry": (lambda s: s.replace(entry(FIRST), entry(ELSEWHERE)), "does not belong"),
    "text before all": (lambda s: s.replace(b'"targets":{', b'"targets":{more'), "grammar"),
    "text alone": (lambda s: re.sub(rb'("targets":\{).*(\},"version")', rb"\1more\2", s), "grammar"),
    "no family": (lambda s: s.replace(b'"files/', b'"evil_/'), "belongs to no bin"),
    "a digest cut short": (lambda s: re.sub(rb'"[0-9a-f]{64}"', b'"00"', s, count=1), "grammar"),
    "a missing change": (lambda s: s.replace(entry(COMES) + b",", b""), f"{COMES} is not listed"),
    "a removal undone": (lambda s: s.replace(entry(STAYS), entry(GOES) + b"," + entry(STAYS)), f"{GOES} is not"),
}


@pytest.mark.parametrize("name", WHOLE_FORGERIES)
def test_a_bin_that_was_rendered_whole_is_looked_at_too(publication: Publication, name: str) -> None:
    forge, message = WHOLE_FORGERIES[name]
    signed = forge(signed_of(publication.bin))
    assert signed != signed_of(publication.bin)
    with pytest.raises(RehearsalFailed, match=message):
        publication.verify_bin(
            publication.forged(publication.bin, signed), previous=(publication.before[BIN], None)
        )


def test_an_empty_bin_and_one_that_becomes_empty_pass() -> None:
    repository = Repository()
    first = next(item for item in repository.draft().bins if item.role.name == BIN)
    arguments: dict[str, Any] = {
        "layout": LAYOUT,
        "ref": REF,
        "authorities": [over_bins(repository.state, Family.FILES)],
        "now": repository.now,
    }
    verify_bin(first.data, role=first.role, previous=None, expected={}, **arguments)
    repository.publish({repository.put(FIRST)})
    before = repository.files[f"metadata/1.{BIN}.json"]
    (emptied,) = repository.draft({repository.remove(FIRST)}).bins
    role = repository.online[BIN]
    verify_bin(emptied.data, role=emptied.role, previous=(role, before), expected={FIRST: None}, **arguments)


SNAPSHOT_FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a bin vanished": (lambda s: re.sub(rf'"{STILL}.json":{{"version":1}},'.encode(), b"", s), "12|does not list"),
    "another came": (lambda s: s.replace(b'"meta":{', b'"meta":{"a.json":{"version":1},'), "does not list"),
    "a bin for another": (
        lambda s: s.replace(f'"{STILL}.json"'.encode(), b'"simple-bin-9.json"'),
        "not as it was",
    ),
    "a bin rose unseen": (
        lambda s: s.replace(f'{STILL}.json":{{"version":1'.encode(), f'{STILL}.json":{{"version":2'.encode()),
        "not as it was",
    ),
    "the new version left out": (
        lambda s: s.replace(f'{BIN}.json":{{"version":2'.encode(), f'{BIN}.json":{{"version":1'.encode()),
        f"lists version 1 of {BIN}",
    ),
    "a length that is wrong": (
        lambda s: s.replace(f'{BIN}.json":{{'.encode(), f'{BIN}.json":{{"length":7,'.encode()),
        "another length",
    ),
    "an offline role of another version": (
        lambda s: s.replace(b'"audit.json":{"version":1', b'"audit.json":{"version":2'),
        "version 2 of audit",
    ),
    "a hash": (
        lambda s: s.replace(f'{BIN}.json":{{'.encode(), f'{BIN}.json":{{"hashes":{{}},'.encode()),
        "grammar",
    ),
}


@pytest.mark.parametrize("name", SNAPSHOT_FORGERIES)
def test_a_snapshot_that_is_signed_properly_and_wrong_is_refused(publication: Publication, name: str) -> None:
    forge, message = SNAPSHOT_FORGERIES[name]
    signed = forge(signed_of(publication.snapshot))
    assert signed != signed_of(publication.snapshot)
    with pytest.raises(RehearsalFailed, match=message):
        publication.verify_snapshot(publication.forged(publication.snapshot, signed))


def test_a_version_that_goes_back_is_refused_even_if_it_was_meant(publication: Publication) -> None:
    signed = signed_of(publication.snapshot).replace(
        f'{BIN}.json":{{"version":2'.encode(), f'{BIN}.json":{{"version":1'.encode()
    )
    with pytest.raises(RehearsalFailed, match=f"{BIN} went back from version 1 to 1"):
        publication.verify_snapshot(publication.forged(publication.snapshot, signed), changed={BIN: (1, 9)})


def test_a_bin_that_clients_would_not_take_must_have_its_length_stated(publication: Publication) -> None:
    with pytest.raises(RehearsalFailed, match="5,000,001 bytes are more"):
        publication.verify_snapshot(changed={BIN: (2, 5_000_001)})


def test_a_timestamp_names_its_snapshot_as_that_is(publication: Publication) -> None:
    role: OnlineRole = publication.snapshot.role
    wrong: list[tuple[Mapping[str, Any], str]] = [
        ({"snapshot": publication.repository.snapshot()}, "is not of version 2"),
        ({"snapshot_role": replace(role, version=3)}, "is not of version 3"),
        ({"snapshot_role": replace(role, expires=START)}, "expired"),
        ({"previous_snapshot": replace(role, version=3)}, "went back"),
        ({"previous": replace(publication.before["timestamp"], version=2)}, "version 3 must follow"),
        ({"now": START + timedelta(days=3)}, "expired"),
    ]
    for changes, message in wrong:
        with pytest.raises(RehearsalFailed, match=message):
            publication.verify_timestamp(**changes)


def test_every_root_that_a_cache_may_hold_out_must_agree(publication: Publication) -> None:
    repository = Repository()

    def drop(signed: Any) -> None:
        signed.revoke_key(repository.keys.timestamp.keyid, "timestamp")

    repository.add_offline([repository.resign("root", drop)])
    roots = [RootAuthority.parse(item) for item in repository.state.roots]
    added: dict[tuple[str, int], datetime] = {("root", 1): START, ("root", 2): START + timedelta(days=1)}
    hour = timedelta(hours=1)

    def versions(after: timedelta) -> list[int]:
        return [root.version for root in in_caches(roots, added, added["root", 2] + after, hour)]

    assert versions(timedelta(0)) == [1, 2]
    assert versions(hour - timedelta(seconds=1)) == [1, 2]
    assert versions(hour) == [2]
    both = [root.timestamp for root in roots]
    with pytest.raises(RehearsalFailed, match="not authorised by root 2"):
        publication.verify_timestamp(authorities=both)
    spare = publication.forged(
        publication.timestamp, signed_of(publication.timestamp), signer=fixed_signer("spare")
    )
    publication.verify_timestamp(spare, authorities=both)
