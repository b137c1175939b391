"""What one publication signs, and when the next is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import InternalError, OperatorError
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.canonical import target_entry
from gatehouse.tuf.committed import Committed
from gatehouse.tuf.model import BinRef, Family
from gatehouse.tuf.plan import Draft, OfflineExpired, OnlineSigners, plan
from gatehouse.tuf.render import entries_body, listing_body, render_again, timestamp_body
from gatehouse.tuf.roles import JITTER, Lifetimes, jittered
from tests.support.tuf_repository import (
    LAYOUT,
    START,
    Repository,
    fixed_keys,
    fixed_signer,
    target,
    timestamp_of,
)

FILE, PAGE = "files/spam/spam-1.0.tar.gz", "simple/spam/index.html"
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def repository() -> Repository:
    """A repository after its first publication."""
    made = Repository()
    made.publish()
    return made


def names(draft: Draft) -> list[str]:
    return [item.role.name for item in draft.signed]


def needed(repository: Repository) -> str | None:
    return repository.committed.needs_publication(repository.lifetimes, repository.now)


def due(repository: Repository, limit: int = 100) -> list[BinRef]:
    return repository.committed.bins_due(repository.lifetimes, repository.now, limit=limit)


def snapshot_of(draft: Draft) -> Snapshot:
    assert draft.snapshot is not None
    return Metadata[Snapshot].from_bytes(draft.snapshot.data).signed


# --- what is signed --------------------------------------------------------------------------------------------


def test_the_first_publication_signs_every_bin_then_the_snapshot_then_the_timestamp() -> None:
    draft = Repository().draft()

    bins = [LAYOUT.role_name(ref) for ref in LAYOUT.refs()]
    assert names(draft) == [*bins, "snapshot", "timestamp"]
    assert {item.role.version for item in draft.signed} == {1}
    assert [item.filename for item in draft.signed][-2:] == ["1.snapshot.json", "timestamp.json"]


def test_a_change_signs_its_bin_the_snapshot_and_the_timestamp(repository: Repository) -> None:
    ref = repository.put(FILE)
    draft = repository.draft({ref})

    assert names(draft) == [LAYOUT.role_name(ref), "snapshot", "timestamp"]
    assert [item.role.version for item in draft.signed] == [2, 2, 2]
    meta = snapshot_of(draft).meta
    assert meta[f"{LAYOUT.role_name(ref)}.json"].version == 2
    assert sum(entry.version for entry in meta.values()) == len(meta) + 1
    assert len(meta) == LAYOUT.count() + 5


def test_the_timestamp_names_its_snapshot_whole(repository: Repository) -> None:
    for draft in (repository.draft({repository.put(FILE)}), repository.draft()):
        meta = Metadata[Timestamp].from_bytes(timestamp_of(draft).data).signed.snapshot_meta
        data = repository.snapshot() if draft.snapshot is None else draft.snapshot.data
        assert (meta.length, meta.hashes) == (len(data), {"sha256": sha256_hex(data)})
        assert meta.version == Metadata[Snapshot].from_bytes(data).signed.version


def test_without_a_change_the_timestamp_is_renewed_alone(repository: Repository) -> None:
    draft = repository.draft()

    assert names(draft) == ["timestamp"]
    assert draft.snapshot is None


def test_a_snapshot_can_be_asked_for(repository: Repository) -> None:
    assert names(repository.draft(new_snapshot=True)) == ["snapshot", "timestamp"]


def test_the_record_of_a_role_is_that_of_its_file(repository: Repository) -> None:
    for item in repository.draft({repository.put(FILE)}).signed:
        assert (item.role.sha256, item.role.length) == (sha256_hex(item.data), len(item.data))
        life = jittered(DAY, item.role.name) if "bin" in item.role.name else DAY
        assert item.role.expires == START + life
        assert len(item.role.signatures) == 1


def test_microseconds_of_the_clock_do_not_reach_the_metadata(repository: Repository) -> None:
    repository.advance(timedelta(microseconds=999_999))

    assert timestamp_of(repository.draft()).role.expires == START + DAY


def test_a_clock_without_a_zone_is_refused(repository: Repository) -> None:
    with pytest.raises(InternalError, match="aware"):
        plan(
            committed=repository.committed,
            bins={},
            signers=repository.signers,
            lifetimes=repository.lifetimes,
            now=START.replace(tzinfo=None),
        )


def test_versions_grow_when_the_clock_goes_back(repository: Repository) -> None:
    repository.advance(-10 * DAY)
    draft = repository.draft({repository.put(FILE)})

    assert [item.role.version for item in draft.signed] == [2, 2, 2]
    repository.rehearse(draft)


def test_a_bin_that_no_delegation_reaches_any_more_stays_in_the_snapshot(repository: Repository) -> None:
    old = replace(repository.online["files-bin-0"], name="files-bin-00", version=9)
    repository.online[old.name] = old

    meta = snapshot_of(repository.draft(new_snapshot=True)).meta

    assert meta["files-bin-00.json"].version == 9


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "bins"])
def test_a_key_that_is_not_authorised_signs_nothing(repository: Repository, role: str) -> None:
    repository.signers = replace(repository.signers, **{role: fixed_signer("thief")})

    with pytest.raises(OperatorError, match=f"not authorised to sign {role.removesuffix('s')}|files-bin"):
        repository.draft({repository.put(FILE)})


def test_a_publication_that_leaves_a_bin_out_is_refused() -> None:
    repository = Repository()
    with pytest.raises(InternalError, match="11 bins would not exist"):
        plan(
            committed=repository.committed,
            bins={LAYOUT.bin_of(FILE): b""},
            signers=repository.signers,
            lifetimes=repository.lifetimes,
            now=START,
        )


# --- offline metadata above ------------------------------------------------------------------------------------


def test_new_offline_metadata_forces_a_snapshot(repository: Repository) -> None:
    assert needed(repository) is None
    repository.add_offline([repository.resign("audit")])

    assert needed(repository) == "offline metadata is new"
    draft = repository.publish()
    assert names(draft) == ["snapshot", "timestamp"]
    assert snapshot_of(draft).meta["audit.json"].version == 2
    assert needed(repository) is None


def test_nothing_outlives_the_offline_metadata_that_it_rests_on() -> None:
    lifetimes = Lifetimes(root=timedelta(hours=20), bins=timedelta(hours=10), targets=30 * DAY)
    repository = Repository(lifetimes=lifetimes)

    draft = repository.publish()

    assert {item.role.expires for item in draft.bins} == {START + timedelta(hours=10)}
    assert timestamp_of(draft).role.expires == START + timedelta(hours=20)
    assert snapshot_of(draft).expires == START + timedelta(hours=20)


@pytest.mark.parametrize("role", ["root", "targets", "bins"])
def test_once_offline_metadata_has_ended_nothing_is_signed_and_the_operator_hears_of_it(role: str) -> None:
    repository = Repository(lifetimes=replace(Lifetimes(), **{role: timedelta(hours=10)}))
    repository.publish()
    repository.advance(timedelta(hours=10) - SECOND)
    repository.publish()

    repository.advance(SECOND)

    assert needed(repository) == "offline metadata has ended"
    with pytest.raises(OfflineExpired, match=f"^{role} ended at 2030-01-01T22:00:00Z: the key holders must sign"):
        repository.draft()


def _end_soon(signed: Any) -> None:
    signed.expires = START + HOUR


def test_when_the_pages_delegation_has_ended_files_are_still_published(repository: Repository) -> None:
    repository.add_offline([repository.resign("simple-bins", _end_soon), repository.resign("audit", _end_soon)])
    repository.publish()
    repository.advance(HOUR)

    repository.publish({repository.put(FILE)})
    with pytest.raises(OfflineExpired, match="simple-bins ended"):
        repository.draft({repository.put(PAGE)})

    repository.add_offline(
        [repository.resign("simple-bins", lambda signed: setattr(signed, "expires", START + DAY))]
    )
    repository.publish({repository.put(PAGE)})


# --- keys that change ------------------------------------------------------------------------------------------


def test_a_new_root_without_the_old_online_key_wants_everything_signed_anew(repository: Repository) -> None:
    def drop(signed: Any) -> None:
        assert isinstance(signed, Root)
        signed.revoke_key(repository.keys.timestamp.keyid, "timestamp")

    repository.add_offline([repository.resign("root", drop)])
    assert needed(repository) == "keys have changed"
    spare = fixed_signer("spare")
    repository.signers = replace(repository.signers, timestamp=spare)
    repository.publish()
    assert needed(repository) is None


def test_bins_of_a_key_that_is_no_longer_authorised_are_due(repository: Repository) -> None:
    def drop(signed: Any) -> None:
        signed.delegations.succinct_roles.keyids.remove(repository.keys.online_bins.keyid)

    repository.add_offline([repository.resign("simple-bins", drop)])
    assert needed(repository) == "bins are due"
    assert due(repository) == [*LAYOUT.refs(Family.SIMPLE)]
    repository.signers = replace(repository.signers, bins=fixed_signer("spare"))
    repository.publish()
    assert needed(repository) is None


# --- when ------------------------------------------------------------------------------------------------------


def test_bins_ride_along_late_in_their_life_and_not_all_at_once(repository: Repository) -> None:
    ends = {ref: repository.online[LAYOUT.role_name(ref)].expires for ref in LAYOUT.refs()}
    assert len(set(ends.values())) == LAYOUT.count(), "born together, they do not end together"
    assert all(DAY * (1 - JITTER) <= end - START <= DAY for end in ends.values())
    for hour in range(25):
        repository.now = START + hour * HOUR
        assert due(repository) == sorted(
            (ref for ref, end in ends.items() if end - repository.now <= DAY * 0.2),
            key=lambda ref: (ends[ref], ref),
        )


def test_the_most_urgent_bins_come_first_where_only_some_are_taken(repository: Repository) -> None:
    fresh = repository.put(FILE)
    repository.advance(HOUR * 4)
    repository.publish({fresh})
    repository.advance(DAY)

    assert set(due(repository)) == {*LAYOUT.refs()}
    assert due(repository)[-1] == fresh
    assert due(repository, limit=LAYOUT.count() - 1) == due(repository)[:-1]
    assert due(repository, limit=0) == []


def test_what_is_due_by_itself_waits_for_the_full_hour_so_that_it_comes_in_batches(repository: Repository) -> None:
    first = min(repository.online[LAYOUT.role_name(ref)].expires for ref in LAYOUT.refs()) - DAY * 0.15
    moment = repository.committed.next_due(repository.lifetimes, repository.now)
    assert first <= moment < first + HOUR
    assert (moment.minute, moment.second) == (0, 0)
    repository.now = moment - SECOND
    assert needed(repository) is None
    repository.now = moment
    assert needed(repository) == "bins are due"


def test_a_bin_that_lives_as_long_as_what_it_rests_on_is_not_renewed_for_nothing() -> None:
    repository = Repository(lifetimes=Lifetimes(bins=10 * HOUR))
    repository.publish()
    repository.advance(timedelta(hours=9, minutes=59))
    assert due(repository) == []


def test_what_was_renewed_is_due_no_more_however_often_it_was(repository: Repository) -> None:
    committed = repository.committed
    for day in range(1, 40):
        moment = START + day * DAY
        role = committed.role("files-bin-0")
        assert role is not None
        committed.apply([replace(role, version=role.version + 1, expires=moment + DAY)])
    found = committed.bins_due(repository.lifetimes, START + 39 * DAY, limit=100)
    assert set(found) == {*LAYOUT.refs()} - {LAYOUT.parse_role("files-bin-0")}
    assert len(found) == len(set(found))


def test_a_loop_that_sleeps_until_the_next_due_moment_keeps_every_role_alive_and_never_spins() -> None:
    repository = Repository(
        layout=BinLayout(simple_bits=1, files_bits=2),
        lifetimes=Lifetimes(root=timedelta(days=31, hours=5), bins=30 * DAY, snapshot=timedelta(hours=36)),
    )
    repository.publish()
    publications = 0
    while True:
        moment = repository.committed.next_due(repository.lifetimes, repository.now)
        assert moment > repository.now
        repository.now = moment - SECOND
        assert needed(repository) is None
        repository.now = moment
        reason = needed(repository)
        assert reason is not None
        if reason == "offline metadata has ended":
            break
        assert all(role.expires > repository.now for role in repository.online.values())
        repository.publish({repository.put(FILE, publications)} if publications % 2 else None)
        publications += 1
    assert repository.now == START + 30 * DAY
    assert 30 < publications < 80


def test_missing_roles_are_due_at_once() -> None:
    repository = Repository()

    assert needed(repository) == "roles are missing"
    assert repository.committed.next_due(repository.lifetimes, START) == START


# --- again -----------------------------------------------------------------------------------------------------


def test_committed_roles_render_to_the_same_bytes_even_with_keys_that_never_sign_the_same_twice() -> None:
    ecdsa = CryptoSigner.generate_ecdsa()
    keys = replace(
        fixed_keys(), timestamp=ecdsa.public_key, snapshot=ecdsa.public_key, online_bins=ecdsa.public_key
    )
    repository = Repository(keys=keys, signers=OnlineSigners(timestamp=ecdsa, snapshot=ecdsa, bins=ecdsa))
    draft = repository.publish({repository.put(FILE), repository.put(PAGE)})
    online = repository.online

    for item in draft.bins:
        ref = LAYOUT.parse_role(item.role.name)
        assert ref is not None
        assert render_again(online[item.role.name], entries_body(repository.body(ref))) == item.data
    listing = listing_body(repository.committed.snapshot_body())
    assert render_again(online["snapshot"], listing) == repository.snapshot()
    assert render_again(online["timestamp"], timestamp_body(online["snapshot"])) == timestamp_of(draft).data


def test_a_committed_role_whose_contents_changed_is_not_rendered(repository: Repository) -> None:
    online = repository.online
    listing = repository.committed.snapshot_body()

    with pytest.raises(InternalError, match="Version 1 of files-bin-0 renders to other bytes"):
        render_again(online["files-bin-0"], entries_body(target_entry(target(FILE))))
    with pytest.raises(InternalError, match="Version 1 of snapshot renders"):
        render_again(online["snapshot"], listing_body(listing.replace(b"1}", b"2}", 1)))
    with pytest.raises(InternalError, match="Version 1 of timestamp renders"):
        render_again(online["timestamp"], timestamp_body(replace(online["snapshot"], version=2)))


# --- what is remembered ----------------------------------------------------------------------------------------


def test_what_is_remembered_is_what_a_start_would_read() -> None:
    repository = Repository()
    remembered = repository.committed
    for changed in (set(), {repository.put(FILE)}, {repository.put(PAGE), repository.put(FILE, 2)}, set()):
        draft = repository.publish(changed, new_snapshot=True)
        remembered.apply(item.role for item in draft.signed)
        read = Committed(repository.state, repository.online)
        assert remembered.snapshot_body() == read.snapshot_body()
        assert remembered.missing == read.missing == set()
        assert remembered.stale is read.stale is False
        assert remembered.names() == read.names()
        for moment in (repository.now, repository.now + DAY):
            ask = (repository.lifetimes, moment)
            assert remembered.next_due(*ask) == read.next_due(*ask)
            assert remembered.bins_due(*ask, limit=100) == read.bins_due(*ask, limit=100)


def test_a_new_root_wants_a_snapshot_even_if_no_key_changed(repository: Repository) -> None:
    repository.add_offline([repository.resign("root")])

    assert needed(repository) == "offline metadata is new"
    assert names(repository.publish()) == ["snapshot", "timestamp"]
    assert needed(repository) is None
