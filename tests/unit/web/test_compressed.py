"""What goes out compressed, to whom, under which ETag; and what never does."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest

from gatehouse.core.digests import sha256_hex
from gatehouse.gate.ports import Coding
from tests.support.faults import failing
from tests.support.web_house import Answer, WebHouse, form, upload_parts, web_house

UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": brotli.decompress}
JSON = "application/vnd.pypi.simple.v1+json"
PAGES = ["/simple/", "/simple/sample-thing/", f"/simple/sample-thing/?format={JSON}"]
METADATA = ["/tuf/metadata/1.root.json", "/tuf/metadata/{snapshot}.snapshot.json"]


def current(house: WebHouse, path: str) -> str:
    overview = house.gatehouse.health.overview()
    return path.format(snapshot=overview.snapshot_version)


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("coding", ["gzip", "br"])
@pytest.mark.parametrize("path", [*PAGES, *METADATA])
def test_pages_and_metadata_unpack_to_what_is_served_without_a_coding(
    house: WebHouse, path: str, coding: str
) -> None:
    path = current(house, path)
    plain, packed = house.ask(path), house.ask(path, Accept_Encoding=coding)
    assert plain.status_int == packed.status_int == 200
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == coding
    assert UNPACK[coding](packed.body) == plain.body
    for answer in (plain, packed):
        assert answer.headers["Content-Length"] == str(len(answer.body))
    for header in ("Content-Type", "Cache-Control", "Vary"):
        assert plain.headers[header] == packed.headers[header]


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("path", [*PAGES, *METADATA])
def test_every_form_has_a_strong_etag_of_its_own_and_says_on_what_it_depends(house: WebHouse, path: str) -> None:
    path = current(house, path)
    etags = {}
    for coding in ("identity", "gzip", "br"):
        answer = house.ask(path, Accept_Encoding=coding)
        etags[coding] = answer.headers["ETag"]
        again = house.ask(path, Accept_Encoding=coding, If_None_Match=etags[coding])
        assert (again.status_int, again.body) == (304, b"")
        assert again.headers["ETag"] == etags[coding]
        for reply in (answer, again):
            vary = [name.strip() for name in reply.headers["Vary"].split(",")]
            assert "Accept-Encoding" in vary
            assert ("Accept" in vary) == path.startswith("/simple")
    plain = etags["identity"].strip('"')
    assert etags == {"identity": f'"{plain}"', "gzip": f'"{plain}-gzip"', "br": f'"{plain}-br"'}
    # Who has one form and can now take another gets it.
    assert house.ask(path, Accept_Encoding="br", If_None_Match=etags["gzip"]).status_int == 200


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("path", [*PAGES, *METADATA])
def test_head_says_of_a_compressed_form_what_get_says(house: WebHouse, path: str) -> None:
    path = current(house, path)
    get, head = (house.ask(path, method, Accept_Encoding="br") for method in ("GET", "HEAD"))
    assert dict(head.headers) == dict(get.headers)
    assert (head.status_int, head.body) == (200, b"")


@pytest.mark.parametrize("header", ["gzip, br", "identity;q=0, *", "*"])
@pytest.mark.parametrize(
    "path",
    [
        "/files/sample-thing/{sample}",
        "/files/sample-thing/{sample}.metadata",
        "/tuf/targets/files/sample-thing/{sample}",
        "/tuf/targets/files/sample-thing/{digest}.{sample}",
        "/tuf/metadata/timestamp.json",
    ],
)
def test_files_and_the_timestamp_are_never_compressed(
    house: WebHouse, sample: str, path: str, header: str
) -> None:
    digest = sha256_hex(house.ask(f"/files/sample-thing/{sample}").body)
    path = path.format(sample=sample, digest=digest)
    plain, answer = house.ask(path), house.ask(path, Accept_Encoding=header)
    assert (answer.status_int, answer.body) == (200, plain.body)
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers


@pytest.mark.usefixtures("sample")
def test_a_page_as_a_target_comes_compressed_and_unpacks_to_what_is_signed(house: WebHouse) -> None:
    digest = sha256_hex(house.ask("/simple/sample-thing/").body)
    answer = house.ask(f"/tuf/targets/simple/sample-thing/{digest}.index.html", Accept_Encoding="gzip")
    assert sha256_hex(gzip.decompress(answer.body)) == digest
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("path", [*PAGES, *METADATA])
def test_who_takes_nothing_that_we_have_is_told_so(house: WebHouse, path: str) -> None:
    answer = house.ask(current(house, path), Accept_Encoding="identity;q=0, deflate")
    assert (answer.status_int, answer.json["code"]) == (406, "not-acceptable")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("sample")
def test_a_range_is_one_of_the_page_itself(house: WebHouse) -> None:
    whole = house.ask("/simple/sample-thing/").body
    answer = house.ask("/simple/sample-thing/", Accept_Encoding="gzip, br", Range="bytes=2-5")
    assert (answer.status_int, answer.body) == (206, whole[2:6])
    packed = house.ask("/simple/sample-thing/", Accept_Encoding="br, identity;q=0", Range="bytes=2-5")
    assert (packed.status_int, brotli.decompress(packed.body)) == (200, whole)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("2.root.json", "public, max-age=5"), ("99999.root.json", "public, max-age=5")]
    + [
        (name, "no-store")
        for name in (
            "99999.snapshot.json",
            "99999.files-bin-0.json",
            "7.targets.json",
            "root.json",
            "x.json",
            "..",
        )
    ],
)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_the_404_of_the_next_root_alone_may_be_held(house: WebHouse, name: str, kept: str, coding: str) -> None:
    """Else a stranger who asks for the next snapshot early leaves its absence in a cache, for everybody."""
    answer = house.ask(f"/tuf/metadata/{name}", Accept_Encoding=coding)
    assert (answer.status_int, answer.headers["Cache-Control"]) == (404, kept)


def packed_snapshot(house: WebHouse) -> tuple[str, Answer]:
    name = current(house, "{snapshot}.snapshot.json")
    return name, house.ask(f"/tuf/metadata/{name}", Accept_Encoding="br")


def test_a_large_page_is_kept_compressed_beside_the_blobs_and_metadata_beside_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatehouse.gate.encode.KEEP_FROM", 1)
    with web_house(tmp_path / "home") as house:
        assert house.upload(form(upload_parts("large-thing", "1.0"))).status_int == 200
        house.publish()
        settings = house.gatehouse.settings
        assert house.ask("/tuf/metadata/1.root.json", Accept_Encoding="br").status_int == 200
        assert [path.name for path in settings.metadata_folder.glob(".encoded/*.br")] == ["1.root.json.br"]
        plain = house.ask("/simple/large-thing/").body
        packed = house.ask("/simple/large-thing/", Accept_Encoding="gzip").body
        (kept,) = settings.blobs_folder.glob(".encoded/*.gz")
        assert kept.name == f"{sha256_hex(plain)}.gz"
        assert kept.read_bytes().endswith(packed)
        # What lies there damaged is made again and served right.
        kept.write_bytes(kept.read_bytes()[:-1])
        fresh = type(house.gatehouse.page_encodings)(kept=house.gatehouse.page_encodings.kept)
        encoded = fresh.get(sha256_hex(plain), Coding.GZIP, lambda: plain)
        assert encoded is not None
        assert encoded.data == packed


def test_a_page_whose_blob_is_damaged_is_a_fault_of_ours_and_is_not_kept_compressed(tmp_path: Path) -> None:
    with web_house(tmp_path / "home") as house:
        assert house.upload(form(upload_parts("broken-thing", "1.0"))).status_int == 200
        house.publish()
        digest = sha256_hex(house.ask("/simple/broken-thing/").body)
        path = house.gatehouse.blobs.path_of(digest)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"broken", b"proken"))
        answer = house.ask("/simple/broken-thing/", Accept_Encoding="gzip")
        assert (answer.status_int, answer.json["code"]) == (503, "store")


def test_a_disk_that_is_full_keeps_nobody_from_a_compressed_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatehouse.gate.encode.KEEP_FROM", 1)
    with web_house(tmp_path / "home") as house:
        assert house.upload(form(upload_parts("full-thing", "1.0"))).status_int == 200
        house.publish()
        plain = house.ask("/simple/full-thing/").body
        with failing(monkeypatch, "write", 28):
            packed = house.ask("/simple/full-thing/", Accept_Encoding="br")
        assert brotli.decompress(packed.body) == plain
        assert list(house.gatehouse.settings.blobs_folder.glob(".encoded/*.br")) == []
