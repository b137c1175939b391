"""What a ceremony lays down."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner

from gatehouse.core.errors import InternalError, OperatorError
from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.ceremony import CeremonyKeys, development_ceremony
from gatehouse.tuf.model import OfflineMetadata
from gatehouse.tuf.roles import Lifetimes
from gatehouse.tuf.trusted import OfflineState
from tests.support.tuf_repository import LAYOUT, START, fixed_keys, fixed_signer


@pytest.fixture
def items() -> list[OfflineMetadata]:
    return development_ceremony(fixed_keys(), LAYOUT, Lifetimes(), START)


def signed(items: list[OfflineMetadata], role: str) -> dict[str, Any]:
    (item,) = [item for item in items if item.role == role]
    content: dict[str, Any] = json.loads(item.data)["signed"]
    return content


def test_the_files_are_the_first_versions_in_canonical_bytes(items: list[OfflineMetadata]) -> None:
    assert [item.filename for item in items] == [
        "1.root.json", "1.targets.json", "1.audit.json", "1.bins.json", "1.simple-bins.json", "1.files-bins.json",
    ]  # fmt: skip
    for item in items:
        assert (encode_canonical(json.loads(item.data)) or "").encode() == item.data


def test_thresholds_are_those_of_pep_458(items: list[OfflineMetadata]) -> None:
    roles = signed(items, "root")["roles"]

    assert {name: (role["threshold"], len(role["keyids"])) for name, role in roles.items()} == {
        "root": (2, 3), "targets": (2, 2), "timestamp": (1, 2), "snapshot": (1, 2),
    }  # fmt: skip
    assert signed(items, "root")["consistent_snapshot"] is True


def test_delegations_stand_in_the_order_of_the_tree(items: list[OfflineMetadata]) -> None:
    audit, bins = signed(items, "targets")["delegations"]["roles"]
    simple, files = signed(items, "bins")["delegations"]["roles"]

    assert (audit["name"], audit["paths"], audit["threshold"]) == ("audit", ["audit/*"], 1)
    assert (bins["name"], bins["path_hash_prefixes"], bins["threshold"]) == ("bins", list("0123456789abcdef"), 2)
    assert (simple["name"], simple["paths"], simple["threshold"]) == ("simple-bins", ["simple/*/*"], 2)
    assert (files["name"], files["path_hash_prefixes"]) == ("files-bins", list("0123456789abcdef"))
    assert all(role["terminating"] for role in (audit, bins, simple, files))


def test_bins_may_be_signed_by_the_online_key_and_by_the_spare(items: list[OfflineMetadata]) -> None:
    keys = fixed_keys()
    for role, bits, prefix in (("simple-bins", 2, "simple-bin"), ("files-bins", 3, "files-bin")):
        delegations = signed(items, role)["delegations"]
        assert delegations["succinct_roles"] == {
            "keyids": [keys.online_bins.keyid, keys.spare.keyid],
            "threshold": 1,
            "bit_length": bits,
            "name_prefix": prefix,
        }
        assert "roles" not in delegations


def test_every_role_lives_as_long_as_asked() -> None:
    lifetimes = Lifetimes(
        root=timedelta(days=4), targets=timedelta(days=3), bins=timedelta(days=2), audit=timedelta(1)
    )
    state = OfflineState.parse(development_ceremony(fixed_keys(), LAYOUT, lifetimes, START))

    assert {role.name: role.expires - START for role in state.ends()} == {
        "root": timedelta(4), "targets": timedelta(3), "audit": timedelta(1),
        "bins": timedelta(2), "simple-bins": timedelta(2), "files-bins": timedelta(2),
    }  # fmt: skip
    assert state.ends()[0].name == "audit"


def test_one_online_key_may_serve_every_online_role() -> None:
    online = fixed_signer("one").public_key
    keys = replace(fixed_keys(), timestamp=online, snapshot=online, online_bins=online)

    state = OfflineState.parse(
        development_ceremony(keys, BinLayout(simple_bits=1, files_bits=1), Lifetimes(), START)
    )

    assert online.keyid in state.timestamp_keyids & state.snapshot_keyids


def test_online_keys_in_pem_leave_files_that_a_parser_takes() -> None:
    """OLPC's canonical form leaves line ends as they are; PEM has many, so on the wire they are escaped."""
    online = CryptoSigner.generate_ecdsa().public_key
    items = development_ceremony(replace(fixed_keys(), timestamp=online), LAYOUT, Lifetimes(), START)

    assert online.keyid in signed(items, "root")["keys"]
    assert online.keyid in OfflineState.parse(items).timestamp_keyids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda keys: replace(keys, root=()), "keys for root"),
        (lambda keys: replace(keys, bins=(keys.bins[0],) * 2), "keys for bins, each of them once"),
        (lambda keys: replace(keys, root_threshold=4), "4 of 3 signatures"),
        (lambda keys: replace(keys, root_threshold=0), "0 of 3 signatures"),
        (lambda keys: replace(keys, spare=keys.snapshot), "spare online key must be another"),
    ],
)
def test_keys_that_make_no_ceremony_are_refused(change: Any, message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        change(fixed_keys())


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(InternalError, match="aware"):
        development_ceremony(fixed_keys(), LAYOUT, Lifetimes(), START.replace(tzinfo=None))


def test_a_signer_that_signs_with_another_key_does_not_get_through() -> None:
    class Liar(CryptoSigner):
        """Says that it is one key and signs with another."""

        @property
        def public_key(self) -> Any:
            return fixed_signer("someone else").public_key

    liar = Liar(fixed_signer("liar")._private_key)
    keys: CeremonyKeys = replace(fixed_keys(), audit=liar)

    with pytest.raises(OperatorError, match="does not verify: audit was signed by 0/1 keys"):
        development_ceremony(keys, LAYOUT, Lifetimes(), START)
