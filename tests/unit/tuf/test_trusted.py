"""Offline metadata is believed only when it is whole, signed, and the tree of this index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Delegations, Metadata, Root, TargetFile, Targets

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.model import Family, OfflineMetadata
from gatehouse.tuf.trusted import BadOfflineMetadata, OfflineState, route
from tests.support.tuf_repository import LAYOUT, START, Repository, fixed_keys, fixed_signer


@pytest.fixture
def repository() -> Repository:
    return Repository()


def refused(items: list[OfflineMetadata], message: str) -> None:
    with pytest.raises(BadOfflineMetadata, match=message):
        OfflineState.parse(items)


def test_the_state_says_who_may_sign_what(repository: Repository) -> None:
    state, keys = repository.state, fixed_keys()

    assert state.layout == LAYOUT
    assert state.timestamp_keyids == {keys.timestamp.keyid, keys.spare.keyid}
    assert state.snapshot_keyids == {keys.snapshot.keyid, keys.spare.keyid}
    assert set(state.bins_keyids) == set(Family)
    for role in ("simple-bin-0", "files-bin-7"):
        assert state.authorised(role) == {keys.online_bins.keyid, keys.spare.keyid}
    assert state.key(keys.spare.keyid) == keys.spare
    assert state.not_after("timestamp") == START + timedelta(days=365)


def test_what_no_delegation_reaches_has_no_keys(repository: Repository) -> None:
    for ask in (repository.state.authorised, repository.state.above):
        with pytest.raises(BadOfflineMetadata, match="no online role 'files-bin-8'"):
            ask("files-bin-8")
    with pytest.raises(BadOfflineMetadata, match="no key 'abc'"):
        repository.state.key("abc")


def test_the_order_of_the_files_does_not_matter_and_the_newest_version_counts(repository: Repository) -> None:
    items = [repository.resign("bins"), *repository.offline, repository.resign("root")]
    state = OfflineState.parse(items[::-1])

    assert (state.root.version, state.delegated["bins"].version, state.delegated["targets"].version) == (2, 2, 1)
    assert [root.version for root in state.roots] == [1, 2]


@pytest.mark.parametrize("role", ["root", "targets", "audit", "bins", "simple-bins", "files-bins"])
def test_a_missing_role_is_named(repository: Repository, role: str) -> None:
    refused([item for item in repository.offline if item.role != role], f"no {role} metadata|missing: {role}")


@pytest.mark.parametrize("role", ["root", "targets", "audit", "bins", "simple-bins", "files-bins"])
def test_a_role_below_its_threshold_is_named(repository: Repository, role: str) -> None:
    (first, *_) = {"root": repository.keys.root, "targets": repository.keys.targets}.get(
        role, repository.keys.bins
    )
    signer = fixed_signer("thief") if role == "audit" else first
    items = [*repository.offline, repository.resign(role, signers=[signer])]

    refused(items, f"does not verify: {role} was signed by [01]/[12] keys")


def test_a_root_that_the_one_before_did_not_sign_is_refused(repository: Repository) -> None:
    thieves = [fixed_signer("thief1"), fixed_signer("thief2")]

    def take_over(signed: Root | Targets) -> None:
        assert isinstance(signed, Root)
        for signer in repository.keys.root:
            signed.revoke_key(signer.public_key.keyid, "root")
        for thief in thieves:
            signed.add_key(thief.public_key, "root")

    refused([*repository.offline, repository.resign("root", take_over, signers=thieves)], "root was signed by 0/2")


def test_a_gap_between_roots_is_refused(repository: Repository) -> None:
    def skip(signed: Root | Targets) -> None:
        signed.version = 3

    refused([*repository.offline, repository.resign("root", skip)], "Root 2 is missing")


def test_a_file_under_another_name_is_refused(repository: Repository) -> None:
    by_role = {item.role: item for item in repository.offline}

    refused([*repository.offline, replace(by_role["bins"], version=2)], "2.bins.json holds version 1")
    refused(
        [*repository.offline, replace(by_role["root"], role="bins", version=9)], "holds version 1 of a root role"
    )
    refused([*repository.offline, replace(by_role["bins"], role="snapshot")], "'snapshot' is not a role that is")


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"signed":1,"signatures":[]}', b"\xff"])
def test_bytes_that_are_no_metadata_are_refused(repository: Repository, data: bytes) -> None:
    refused([*repository.offline, OfflineMetadata(role="bins", version=2, data=data)], "does not verify")


def test_a_file_longer_than_clients_take_is_refused(repository: Repository) -> None:
    refused([*repository.offline, OfflineMetadata(role="bins", version=2, data=b" " * 5_000_001)], "longer than")


def _no_snapshots(signed: Any) -> None:
    signed.consistent_snapshot = False


def _two_of_timestamp(signed: Any) -> None:
    signed.roles["timestamp"].threshold = 2


def _own_target(signed: Any) -> None:
    signed.targets["files/a/a.zip"] = TargetFile(1, {"sha256": "0" * 64}, "files/a/a.zip")


def _roles_reversed(signed: Any) -> None:
    signed.delegations.roles = dict(reversed(signed.delegations.roles.items()))


def _everything_to_audit(signed: Any) -> None:
    signed.delegations.roles["audit"].paths = ["files/*/*"]


def _no_delegation(signed: Any) -> None:
    signed.delegations = None


def _other_prefix(signed: Any) -> None:
    signed.delegations.succinct_roles.name_prefix = "files-bin2"


def _two_of_bins(signed: Any) -> None:
    signed.delegations.succinct_roles.threshold = 2


def _more_bins(signed: Any) -> None:
    signed.delegations.succinct_roles.bit_length = 4


def _one_id_for_two_keys(signed: Any) -> None:
    delegations: Delegations = signed.delegations
    keyid = next(iter(delegations.keys))
    key = fixed_signer("thief").public_key
    key.keyid = keyid
    delegations.keys[keyid] = key


@pytest.mark.parametrize(
    ("role", "change", "message"),
    [
        ("root", _no_snapshots, "consistent snapshots"),
        ("root", _two_of_timestamp, "threshold below timestamp is 2"),
        ("targets", _own_target, "targets lists targets of its own"),
        ("targets", _roles_reversed, r"audit/\* to audit before"),
        ("targets", _everything_to_audit, "would look for files/.* in targets, then audit"),
        ("bins", _roles_reversed, "would look for simple/.* in targets, then bins, then files-bins"),
        ("files-bins", _own_target, "files-bins lists targets of its own"),
        ("files-bins", _no_delegation, "would look for files/"),
        ("files-bins", _other_prefix, "succinct hash bins named files-bin "),
        ("files-bins", _two_of_bins, "threshold below files-bins is 2"),
        ("files-bins", _more_bins, "2.files-bins.json changes the number of bins"),
        ("files-bins", _one_id_for_two_keys, "Two different keys have the id"),
    ],
)
def test_a_tree_in_which_clients_would_get_lost_is_refused(
    repository: Repository, role: str, change: Callable[[Any], None], message: str
) -> None:
    with pytest.raises(OperatorError, match=message):
        OfflineState.parse([*repository.offline, repository.resign(role, change)])


def test_more_bins_than_four_hexadecimal_digits_are_refused(repository: Repository) -> None:
    def widen(signed: Any) -> None:
        signed.delegations.succinct_roles.bit_length = 20

    offline = [item for item in repository.offline if item.role != "files-bins"]
    with pytest.raises(OperatorError, match="files bins take 1 to 16 bits, not 20"):
        OfflineState.parse([*offline, repository.resign("files-bins", widen)])


def test_a_client_asks_in_the_order_of_the_tree(repository: Repository) -> None:
    trusted = {
        name: Metadata[Targets].from_bytes(role.data).signed for name, role in repository.state.delegated.items()
    }

    assert list(route("audit/log", trusted.get)) == ["targets", "audit"]
    assert list(route("files/a/a.zip", trusted.get))[:3] == ["targets", "bins", "files-bins"]
    assert list(route("elsewhere", trusted.get))[:3] == ["targets", "bins", "files-bins"]
