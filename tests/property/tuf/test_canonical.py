"""What is spliced is what securesystemslib and python-tuf would have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import SPECIFICATION_VERSION, Metadata, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from gatehouse.core.errors import GatehouseError
from gatehouse.core.names import InvalidName
from gatehouse.tuf import canonical
from gatehouse.tuf.model import Target

hexadecimal = st.binary(min_size=32, max_size=32).map(bytes.hex)
positive = st.integers(1, 2**53)
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    # ^ DTZ001: hypothesis wants naive bounds and adds the zone itself.
    lambda moment: moment.replace(microsecond=0)
)
paths = st.from_regex(r"(files|simple)/[a-z0-9-]{1,20}/[A-Za-z0-9][A-Za-z0-9._+!~-]{0,40}", fullmatch=True)
targets = st.builds(Target, path=paths, sha256=hexadecimal, length=st.integers(0, 2**53))
many_targets = st.lists(targets, max_size=8, unique_by=lambda target: target.path)
role_names = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)
signatures = st.lists(st.tuples(hexadecimal, hexadecimal), min_size=1, max_size=3, unique_by=lambda pair: pair[0])


def canonical_bytes(data: bytes) -> bytes:
    return (encode_canonical(json.loads(data)) or "").encode()


def parse(signed: bytes, pairs: list[tuple[str, str]]) -> tuple[bytes, Metadata[Any]]:
    data = canonical.envelope(signed, pairs)
    assert canonical_bytes(data) == data
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    # What a client hashes and verifies is the very text that was signed.
    assert metadata.signed_bytes == signed
    assert metadata.to_bytes(JSONSerializer(compact=True)) == data
    return data, metadata


@given(positive, moments, many_targets, signatures)
def test_a_bin_reads_back_as_it_was_meant(
    version: int, expires: datetime, items: list[Target], pairs: list[tuple[str, str]]
) -> None:
    _, metadata = parse(canonical.targets_signed(version, expires, items), pairs)

    signed = metadata.signed
    assert isinstance(signed, Targets)
    assert (signed.version, signed.expires) == (version, expires)
    assert {path: (file.hashes, file.length) for path, file in signed.targets.items()} == {
        item.path: ({"sha256": item.sha256}, item.length) for item in items
    }
    assert [(keyid, signature.signature) for keyid, signature in metadata.signatures.items()] == pairs


@given(positive, moments, st.dictionaries(role_names, positive, max_size=12), signatures)
def test_a_snapshot_reads_back_as_it_was_meant(
    version: int, expires: datetime, versions: dict[str, int], pairs: list[tuple[str, str]]
) -> None:
    _, metadata = parse(canonical.snapshot_signed(version, expires, versions), pairs)

    signed = metadata.signed
    assert isinstance(signed, Snapshot)
    assert (signed.version, signed.expires) == (version, expires)
    assert {name: meta.version for name, meta in signed.meta.items()} == {
        f"{name}.json": number for name, number in versions.items()
    }


@given(positive, moments, st.tuples(positive, hexadecimal, positive), signatures)
def test_a_timestamp_reads_back_as_it_was_meant(
    version: int, expires: datetime, snapshot: tuple[int, str, int], pairs: list[tuple[str, str]]
) -> None:
    number, digest, length = snapshot
    _, metadata = parse(canonical.timestamp_signed(version, expires, number, digest, length), pairs)

    signed = metadata.signed
    assert isinstance(signed, Timestamp)
    meta = signed.snapshot_meta
    assert (signed.version, signed.expires) == (version, expires)
    assert (meta.version, meta.hashes, meta.length) == (number, {"sha256": digest}, length)


@given(st.text(), hexadecimal, st.integers())
def test_a_target_is_either_canonical_or_refused(path: str, digest: str, length: int) -> None:
    try:
        entry = canonical.target_entry(Target(path=path, sha256=digest, length=length))
    except GatehouseError:
        return
    data = b"{" + entry + b"}"
    assert canonical_bytes(data) == data
    assert json.loads(data) == {path: {"hashes": {"sha256": digest}, "length": length}}


NOW = datetime(2030, 1, 1, tzinfo=UTC)
ONE = Target(path="files/a/a.zip", sha256="0" * 64, length=1)


@pytest.mark.parametrize(
    "path",
    ['files/a/"', "files/a/\\", "files/a/\n", "files/a/\x7f", "files/a/é", "files/a/\ud800", "files/a b", ""],
)
def test_a_path_that_two_writers_could_write_differently_is_refused(path: str) -> None:
    with pytest.raises(InvalidName, match="grammar of target paths"):
        canonical.target_entry(Target(path=path, sha256="0" * 64, length=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: canonical.target_entry(Target(path="files/a/a", sha256="A" * 64, length=1)), "SHA-256"),
        (lambda: canonical.target_entry(Target(path="files/a/a", sha256="0" * 62, length=1)), "SHA-256"),
        (lambda: canonical.target_entry(Target(path="files/a/a", sha256="0" * 64, length=-1)), "length -1"),
        (lambda: canonical.targets_signed(1, NOW, [ONE, ONE]), "stands twice"),
        (lambda: canonical.targets_signed(0, NOW, []), "begin at 1"),
        (lambda: canonical.targets_signed(1, NOW.replace(tzinfo=None), []), "aware"),
        (lambda: canonical.targets_signed(1, NOW.replace(microsecond=1), []), "whole second"),
        (lambda: canonical.snapshot_signed(1, NOW, {'a"': 1}), "not a role name"),
        (lambda: canonical.snapshot_signed(1, NOW, {"a": 0}), "begin at 1"),
        (lambda: canonical.timestamp_signed(1, NOW, 1, "0" * 63, 1), "SHA-256"),
        (lambda: canonical.envelope(b"{}", []), "needs a signature"),
        (lambda: canonical.envelope(b"{}", [("00", "00"), ("00", "01")]), "one of each key"),
        (lambda: canonical.envelope(b"{}", [("00", '"')]), "hexadecimal"),
    ],
)
def test_a_value_out_of_range_is_never_written(wrong: Callable[[], bytes], message: str) -> None:
    with pytest.raises(GatehouseError, match=message):
        wrong()


def test_the_specification_version_is_the_one_that_the_installed_library_speaks() -> None:
    assert canonical.SPEC_VERSION.split(".") == SPECIFICATION_VERSION
