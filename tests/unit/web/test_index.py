"""Reading the index: simple pages, files, negotiation, ranges."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.support.web_house import WebHouse

PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
UV = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/vnd.pypi.simple.v1+json"
V1_HTML = "application/vnd.pypi.simple.v1+html; charset=utf-8"
HTML = "text/html; charset=utf-8"


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("path", ["/simple/", "/simple/sample-thing/"])
@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, HTML),
        ("", HTML),
        (PIP, JSON),
        (UV, JSON),
        (FIREFOX, HTML),
        ("*/*", HTML),
        ("application/*", JSON),
        ("text/*", HTML),
        ("text/html", HTML),
        (JSON, JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.v1+html", V1_HTML),
        ("application/vnd.pypi.simple.latest+html", V1_HTML),
        (f"{JSON};q=0.1, text/html;q=0.9", HTML),
        (f"{JSON};q=0, */*", HTML),
        (f"text/html;q=0, {JSON};q=0.001", JSON),
        ("this is, not; an accept header!", HTML),
        ("application/vnd.pypi.simple.v2+json, text/html;q=0.5", HTML),
    ],
)
def test_a_page_comes_in_the_form_that_the_client_likes_best(
    house: WebHouse, path: str, accept: str | None, answer: str
) -> None:
    response = house.ask(path) if accept is None else house.ask(path, Accept=accept)
    assert response.status_int == 200
    assert response.headers["Content-Type"] == answer
    assert "Accept" in response.headers["Vary"]
    assert (b"<!DOCTYPE html>" in response.body) == ("html" in answer)


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/vnd.pypi.simple.v2+json", "image/*", "*/*;q=0", "text/html," * 900],
)
@pytest.mark.usefixtures("sample")
def test_a_client_that_takes_none_of_our_forms_gets_406_and_learns_them(house: WebHouse, accept: str) -> None:
    response = house.ask("/simple/sample-thing/", Accept=accept)
    assert response.status_int == 406
    assert response.json["code"] == "not-acceptable"


@pytest.mark.parametrize(
    ("parameter", "answer"),
    [
        ("application/vnd.pypi.simple.v1%2Bjson", JSON),
        ("application/vnd.pypi.simple.v1+json", JSON),
        ("application/vnd.pypi.simple.latest%2Bhtml", V1_HTML),
        ("text/html", HTML),
    ],
)
@pytest.mark.usefixtures("sample")
def test_the_format_parameter_wins_over_the_accept_header(house: WebHouse, parameter: str, answer: str) -> None:
    response = house.ask(f"/simple/sample-thing/?format={parameter}", Accept="image/png")
    assert response.headers["Content-Type"] == answer


@pytest.mark.parametrize("parameter", ["application/json", "%ff", "x" * 3000])
@pytest.mark.usefixtures("sample")
def test_an_unknown_format_parameter_is_not_acceptable(house: WebHouse, parameter: str) -> None:
    assert house.ask(f"/simple/sample-thing/?format={parameter}").status_int == 406


def test_the_page_that_is_served_is_the_blob_that_tuf_signs(house: WebHouse, sample: str) -> None:
    for accept, page in ((JSON, "index.v1.json"), ("text/html", "index.html")):
        response = house.ask("/simple/sample-thing/", Accept=accept)
        digest = hashlib.sha256(response.body).hexdigest()
        assert response.headers["ETag"] == f'"{digest}"'
        assert sample.encode() in response.body
        target = house.ask(f"/tuf/targets/simple/sample-thing/{digest}.{page}")
        assert target.status_int == 200
        assert target.body == response.body


@pytest.mark.usefixtures("sample")
def test_a_page_that_the_client_has_is_not_sent_again(house: WebHouse) -> None:
    etag = house.ask("/simple/sample-thing/").headers["ETag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        response = house.ask("/simple/sample-thing/", If_None_Match=known)
        assert response.status_int == 304
        assert response.body == b""
        assert response.headers["ETag"] == etag
    assert house.ask("/simple/sample-thing/", If_None_Match='"other"').status_int == 200


@pytest.mark.usefixtures("sample")
def test_the_list_names_every_project_in_both_forms(house: WebHouse) -> None:
    names = [project["name"] for project in house.ask("/simple/", Accept=JSON).json["projects"]]
    assert "sample-thing" in names
    assert b'<a href="sample-thing/">sample-thing</a>' in house.ask("/simple/").body


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/simple/sample-thing", "sample-thing/"),
        ("/simple/Sample.Thing", "sample-thing/"),
        ("/simple/Sample_Thing/", "../sample-thing/"),
        ("/simple/sample--thing/", "../sample-thing/"),
        ("/simple/Sample_Thing/?format=text/html", "../sample-thing/?format=text/html"),
        ("/simple/Sample_Thing/?x=%0d%0aSet-Cookie:a", "../sample-thing/?x=%0d%0aSet-Cookie%3Aa"),
    ],
)
def test_another_spelling_redirects_without_repeating_the_host_header(
    house: WebHouse, path: str, location: str
) -> None:
    response = house.ask(path, Host="attacker.invalid")
    assert response.status_int == 301
    assert response.headers["Location"] == location


@pytest.mark.parametrize(
    "path",
    [
        "/simple/unknown/",
        "/simple/../etc/",
        "/simple/%2e%2e/",
        "/simple/..%2f..%2fetc%2fpasswd/",
        "/simple/a%00b/",
        "/simple/-/",
        f"/simple/{'a' * 5000}/",
        "/simple/%0d%0aSet-Cookie:%20a=b/",
        "/files/sample-thing/unknown-1.0-py3-none-any.whl",
        "/files/sample-thing/..",
        "/files/%2e%2e/%2e%2e",
        "/files/sample-thing/%2e%2e%2fkeys%2fonline.pem",
        "/files/../keys/online.pem",
        "/files/sample-thing/x%00.whl",
        f"/files/sample-thing/{'x' * 5000}",
        "/files/sample-thing/.metadata",
        "/files/sample-thing/",
        "/files/",
        "/files/sample-thing",
        "/tuf/metadata/..",
        "/tuf/metadata/%2e%2e%2ftoken",
        "/tuf/metadata/.store",
        "/tuf/metadata/.store%2fepoch",
        "/tuf/metadata/timestamp.json%00",
        "/tuf/metadata/TIMESTAMP.json",
        f"/tuf/metadata/{'9' * 300}.root.json",
        "/tuf/metadata/",
        "/tuf/targets/",
        "/tuf/targets/../metadata/timestamp.json",
        "/tuf/targets/files/sample-thing/%2e%2e/%2e%2e/x",
        "/tuf/targets/simple/sample-thing/index.html/x",
        "/static/..%2f__init__.py",
        "/static/__init__.py",
        "/nothing",
        "//attacker.invalid/",
    ],
)
@pytest.mark.usefixtures("sample")
def test_what_is_not_here_is_404_and_tells_nothing_of_the_machine(house: WebHouse, path: str) -> None:
    for method in ("GET", "HEAD"):
        response = house.ask(path, method)
        assert response.status_int == 404
        assert response.headers["Content-Type"] == "application/problem+json"
        assert str(house.gatehouse.settings.home).encode() not in response.body
    assert "\r" not in str(response.headers)


def test_an_address_that_is_not_utf8_is_the_callers_fault(house: WebHouse) -> None:
    response = house.ask("/simple/%ff%fe/")
    assert response.status_int == 400
    assert response.json["detail"] == "The address is not valid UTF-8."


def page_entry(house: WebHouse, filename: str) -> dict[str, Any]:
    files: list[dict[str, Any]] = house.ask("/simple/sample-thing/", Accept=JSON).json["files"]
    return next(file for file in files if file["filename"] == filename)


def test_a_file_is_what_its_page_says_and_may_be_cached_for_ever(house: WebHouse, sample: str) -> None:
    entry = page_entry(house, sample)
    response = house.ask(f"/files/sample-thing/{sample}")
    assert response.status_int == 200
    assert hashlib.sha256(response.body).hexdigest() == entry["hashes"]["sha256"]
    assert response.headers["Content-Length"] == str(entry["size"])
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in response.headers["Cache-Control"]
    assert "Content-Encoding" not in response.headers


def test_core_metadata_lies_beside_the_file(house: WebHouse, sample: str) -> None:
    response = house.ask(f"/files/sample-thing/{sample}.metadata")
    assert hashlib.sha256(response.body).hexdigest() == page_entry(house, sample)["core-metadata"]["sha256"]
    assert b"Name: sample-thing" in response.body


def test_a_file_is_found_under_its_own_project_alone(house: WebHouse, sample: str) -> None:
    assert house.ask(f"/files/other/{sample}").status_int == 404


class TestRanges:
    """RFC 9110 §14: one range is served, what cannot be is 416, what is not understood is ignored."""

    @pytest.mark.parametrize(
        ("header", "first", "last"),
        [("bytes=0-0", 0, 0), ("bytes=2-5", 2, 5), ("bytes=10-", 10, None), ("bytes=-7", -7, None)],
    )
    def test_one_range_is_206(
        self, house: WebHouse, sample: str, header: str, first: int, last: int | None
    ) -> None:
        whole = house.ask(f"/files/sample-thing/{sample}").body
        response = house.ask(f"/files/sample-thing/{sample}", Range=header)
        assert response.status_int == 206
        assert response.body == whole[first : None if last is None else last + 1]
        start = first % len(whole)
        end = start + len(response.body) - 1
        assert response.headers["Content-Range"] == f"bytes {start}-{end}/{len(whole)}"
        assert response.headers["Content-Length"] == str(len(response.body))

    def test_a_range_that_goes_too_far_ends_at_the_end(self, house: WebHouse, sample: str) -> None:
        whole = house.ask(f"/files/sample-thing/{sample}").body
        assert house.ask(f"/files/sample-thing/{sample}", Range="bytes=3-999999999").body == whole[3:]
        assert house.ask(f"/files/sample-thing/{sample}", Range="bytes=-999999999").body == whole

    @pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=99999999-100000000", "bytes=-0"])
    def test_a_range_outside_the_file_is_416(self, house: WebHouse, sample: str, header: str) -> None:
        length = house.ask(f"/files/sample-thing/{sample}").headers["Content-Length"]
        response = house.ask(f"/files/sample-thing/{sample}", Range=header)
        assert response.status_int == 416
        assert response.headers["Content-Range"] == f"bytes */{length}"

    @pytest.mark.parametrize(
        "header",
        [
            "bytes=5-2",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=1",
            f"bytes={'1' * 500}-",
            "bytes=\u0661-\u0662",
        ],
    )
    def test_what_is_no_single_range_gets_the_whole(self, house: WebHouse, sample: str, header: str) -> None:
        request_header = header.encode().decode("latin-1")
        assert house.ask(f"/files/sample-thing/{sample}", Range=request_header).status_int == 200

    def test_a_range_of_another_version_of_the_file_gets_the_whole(self, house: WebHouse, sample: str) -> None:
        etag = house.ask(f"/files/sample-thing/{sample}").headers["ETag"]
        path = f"/files/sample-thing/{sample}"
        assert house.ask(path, Range="bytes=0-1", If_Range='"other"').status_int == 200
        assert house.ask(path, Range="bytes=0-1", If_Range=etag).status_int == 206


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/simple/",
        "/simple/sample-thing/",
        "/files/sample-thing/{sample}",
        "/files/sample-thing/{sample}.metadata",
        "/tuf/metadata/timestamp.json",
        "/tuf/metadata/1.root.json",
        "/tuf/targets/files/sample-thing/{sample}",
        "/healthz",
        "/readyz",
        "/static/gatehouse.css",
        "/api/v1/openapi.json",
    ],
)
def test_head_says_what_get_says_without_the_body(house: WebHouse, sample: str, path: str) -> None:
    path = path.format(sample=sample)
    get, head = house.ask(path), house.ask(path, "HEAD")
    assert (get.status_int, head.status_int) == (200, 200)
    assert head.body == b""
    assert dict(head.headers) == dict(get.headers)
    assert int(get.headers["Content-Length"]) == len(get.body)


def test_head_does_not_open_the_blob(house: WebHouse, sample: str) -> None:
    response = house.ask(f"/files/sample-thing/{sample}", "HEAD", Range="bytes=0-1")
    assert response.status_int == 200
    assert response.headers["Accept-Ranges"] == "bytes"


class TestTuf:
    """TUF specification §5.3: clients walk the roots until there is none."""

    def test_versioned_metadata_never_changes_and_the_timestamp_is_fresh(self, house: WebHouse) -> None:
        assert "immutable" in house.ask("/tuf/metadata/1.root.json").headers["Cache-Control"]
        assert house.ask("/tuf/metadata/timestamp.json").headers["Cache-Control"] == "public, max-age=5"

    def test_the_next_root_is_404_for_seconds_alone(self, house: WebHouse) -> None:
        response = house.ask("/tuf/metadata/2.root.json")
        assert response.status_int == 404
        assert response.headers["Cache-Control"] == "public, max-age=5"

    def test_metadata_is_served_as_stored(self, house: WebHouse) -> None:
        stored = house.gatehouse.metadata_store.read("1.root.json")
        response = house.ask("/tuf/metadata/1.root.json")
        assert response.body == stored
        assert response.headers["Content-Type"] == "application/json"
        assert "Content-Encoding" not in response.headers

    def test_a_target_is_immutable_by_its_hash_and_checked_again_by_its_plain_name(
        self, house: WebHouse, sample: str
    ) -> None:
        digest = page_entry(house, sample)["hashes"]["sha256"]
        hashed = house.ask(f"/tuf/targets/files/sample-thing/{digest}.{sample}")
        plain = house.ask(f"/tuf/targets/files/sample-thing/{sample}")
        assert hashed.body == plain.body
        assert "immutable" in hashed.headers["Cache-Control"]
        assert "immutable" not in plain.headers["Cache-Control"]

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_nothing_is_written_here(self, house: WebHouse, method: str) -> None:
        response = house.ask("/tuf/metadata/timestamp.json", method)
        assert response.status_int == 405
        assert response.headers["Allow"] == "GET, HEAD"


class TestHome:
    def test_the_front_page_says_how_to_upload_and_install_and_shows_no_token(self, house: WebHouse) -> None:
        page = house.ask("/").text
        for needed in ("twine upload", "__token__", "pip install", 'href="simple/"', "1.root.json", "Snapshot"):
            assert needed in page
        assert f"pip install --no-deps --index-url {house.gatehouse.settings.url(80)}/simple/ NAME" in page
        assert "gatehouse-" not in page
        assert "<script" not in page
        assert "style=" not in page

    def test_the_front_page_offers_no_start_of_trust_to_fetch_from_the_index_itself(self, house: WebHouse) -> None:
        page = house.ask("/").text
        assert 'href="tuf/metadata/1.root.json"' not in page
        assert "/tuf/metadata/1.root.json</code> answers here is" in page

    def test_the_front_page_ignores_the_host_header(self, house: WebHouse) -> None:
        assert "attacker.invalid" not in house.ask("/", Host="attacker.invalid").text

    def test_only_the_front_page_may_load_a_stylesheet_and_nothing_may_run_a_script(self, house: WebHouse) -> None:
        assert "style-src 'self'" in house.ask("/").headers["Content-Security-Policy"]
        for path in ("/", "/simple/", "/healthz", "/nothing"):
            headers = house.ask(path).headers
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "script-src" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"


class TestHealth:
    def test_ready_answers_200_without_reasons(self, house: WebHouse) -> None:
        response = house.ask("/readyz")
        assert (response.status_int, response.json) == (200, {"ready": True, "reasons": []})

    def test_a_fault_makes_it_503_and_alive_stays_200(self, house: WebHouse) -> None:
        house.gatehouse.health.faults.append(lambda: "The disk is full.")
        try:
            response = house.ask("/readyz")
            assert (response.status_int, response.json["reasons"]) == (503, ["The disk is full."])
            assert house.ask("/healthz").status_int == 200
        finally:
            house.gatehouse.health.faults.pop()

    def test_refusals_are_counted_by_code(self, house: WebHouse) -> None:
        house.ask("/nothing", "BREW")
        metrics = house.ask("/metrics").text
        assert 'gatehouse_http_faults_total{code="not-found"}' in metrics
        assert 'method="other"' in metrics
        assert "BREW" not in metrics


def test_every_document_of_the_web_is_valid_json(house: WebHouse) -> None:
    for path in ("/api/v1/openapi.json", "/readyz", "/nothing"):
        assert isinstance(json.loads(house.ask(path).body), dict)
