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
from gatehouse.tuf.model import BinRef, Family
from gatehouse.tuf.plan import (
    Draft,
    OfflineExpired,
    OnlineSigners,
    bins_due,
    needs_publication,
    next_due,
    plan,
    render_bin_again,
    render_snapshot_again,
    render_timestamp_again,
    snapshot_versions,
)
from gatehouse.tuf.roles import Lifetimes
from tests.support.tuf_repository import LAYOUT, START, Repository, fixed_keys, fixed_signer, target

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
    return needs_publication(repository.state, repository.online, repository.lifetimes, repository.now)


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
        meta = Metadata[Timestamp].from_bytes(draft.timestamp.data).signed.snapshot_meta
        data = repository.snapshot() if draft.snapshot is None else draft.snapshot.data
        assert (meta.length, meta.hashes) == (len(data), {"sha256": sha256_hex(data)})
        assert meta.version == Metadata[Snapshot].from_bytes(data).signed.version


def test_without_a_change_the_timestamp_is_renewed_alone(repository: Repository) -> None:
    draft = repository.draft()

    assert names(draft) == ["timestamp"]
    assert draft.snapshot is None
    assert draft.immutable == ()


def test_a_snapshot_can_be_asked_for(repository: Repository) -> None:
    assert names(repository.draft(new_snapshot=True)) == ["snapshot", "timestamp"]


def test_the_record_of_a_role_is_that_of_its_file(repository: Repository) -> None:
    for item in repository.draft({repository.put(FILE)}).signed:
        assert (item.role.sha256, item.role.length) == (sha256_hex(item.data), len(item.data))
        assert item.role.expires == START + DAY
        assert len(item.role.signatures) == 1


def test_microseconds_of_the_clock_do_not_reach_the_metadata(repository: Repository) -> None:
    repository.advance(timedelta(microseconds=999_999))

    assert repository.draft().timestamp.role.expires == START + DAY


def test_a_clock_without_a_zone_is_refused(repository: Repository) -> None:
    state = repository.state
    with pytest.raises(InternalError, match="aware"):
        plan(
            state=state,
            online=repository.online,
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


def test_a_target_in_the_wrong_bin_is_refused(repository: Repository) -> None:
    ref = LAYOUT.bin_of(FILE)
    wrong = BinRef(family=Family.FILES, index=(ref.index + 1) % 8)

    with pytest.raises(InternalError, match="which is not its bin"):
        plan(
            state=repository.state,
            online=repository.online,
            bins={wrong: [target(FILE)]},
            signers=repository.signers,
            lifetimes=repository.lifetimes,
            now=START,
        )


def test_a_publication_that_leaves_a_bin_out_is_refused() -> None:
    repository = Repository()
    with pytest.raises(InternalError, match="11 bins would not exist"):
        plan(
            state=repository.state,
            online={},
            bins={LAYOUT.bin_of(FILE): []},
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
    assert draft.timestamp.role.expires == START + timedelta(hours=20)
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
    assert bins_due(repository.state, repository.online, repository.lifetimes, START) == {
        *LAYOUT.refs(Family.SIMPLE)
    }
    repository.signers = replace(repository.signers, bins=fixed_signer("spare"))
    repository.publish()
    assert needed(repository) is None


# --- when ------------------------------------------------------------------------------------------------------


def test_bins_ride_along_from_four_fifths_of_their_life(repository: Repository) -> None:
    repository.advance(DAY * 0.8 - SECOND)
    assert names(repository.draft()) == ["timestamp"]
    repository.advance(SECOND)
    assert needed(repository) is None
    assert len(repository.draft().bins) == LAYOUT.count()


def test_the_most_urgent_bins_come_first_where_only_some_are_taken(repository: Repository) -> None:
    fresh = repository.put(FILE)
    repository.advance(HOUR)
    repository.publish({fresh})
    repository.advance(DAY)
    ask = (repository.state, repository.online, repository.lifetimes, repository.now)

    assert bins_due(*ask) == {*LAYOUT.refs()}
    some = bins_due(*ask, limit=LAYOUT.count() - 1)
    assert some == {*LAYOUT.refs()} - {fresh}
    assert bins_due(*ask, limit=0) == set()
    assert len(bins_due(repository.state, {}, repository.lifetimes, repository.now, limit=0)) == LAYOUT.count()


def test_a_loop_that_sleeps_until_the_next_due_moment_keeps_every_role_alive_and_never_spins() -> None:
    repository = Repository(
        layout=BinLayout(simple_bits=1, files_bits=2),
        lifetimes=Lifetimes(root=timedelta(days=31, hours=5), bins=30 * DAY, snapshot=timedelta(hours=36)),
    )
    repository.publish()
    publications = 0
    while True:
        due = next_due(repository.state, repository.online, repository.lifetimes, repository.now)
        assert due > repository.now
        repository.now = due - SECOND
        assert needed(repository) is None
        repository.now = due
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
    assert next_due(repository.state, {}, repository.lifetimes, START) == START


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
        assert render_bin_again(online[item.role.name], repository.contents(ref)) == item.data
    assert (
        render_snapshot_again(online["snapshot"], snapshot_versions(repository.state, online), {})
        == repository.snapshot()
    )
    assert render_timestamp_again(online["timestamp"], online["snapshot"]) == draft.timestamp.data


def test_a_committed_role_whose_contents_changed_is_not_rendered(repository: Repository) -> None:
    online = repository.online
    versions = snapshot_versions(repository.state, online)

    with pytest.raises(InternalError, match="Version 1 of files-bin-0 renders to other bytes"):
        render_bin_again(online["files-bin-0"], [target(FILE)])
    with pytest.raises(InternalError, match="Version 1 of snapshot renders"):
        render_snapshot_again(online["snapshot"], {**versions, "bins": 2}, {})
    with pytest.raises(InternalError, match="Version 1 of timestamp renders"):
        render_timestamp_again(online["timestamp"], replace(online["snapshot"], version=2))
