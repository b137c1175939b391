"""What caches in front learn: the keys of each answer, and how long they may hold it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import OperatorError, SettingsError
from gatehouse.settings import Settings
from gatehouse.wiring import open_purger
from tests.support.web_house import WebHouse, form, upload_parts, web_house

HEADERS = {"fastly": "Surrogate-Key", "varnish": "xkey"}


@pytest.fixture(scope="module", params=sorted(HEADERS))
def fronted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHouse]:
    """A house behind a cache of each kind, with a published project `fronted-thing`."""
    folder = tmp_path_factory.mktemp("fronted")
    token = folder / "token"
    token.write_text("a-token-of-a-test")
    token.chmod(0o600)
    settings: dict[str, Any] = {
        "purge_kind": request.param,
        "purge_url": "http://cache.invalid",
        "edge_lifetime": "15m",
    }
    if request.param == "fastly":
        settings |= {"purge_service": "abc", "purge_token_file": str(token)}
    with web_house(folder / "home", **settings) as house:
        assert house.upload(form(upload_parts("fronted-thing", "1.0"))).status_int == 200
        house.publish()
        yield house


def keys(house: WebHouse, path: str, **headers: str) -> set[str]:
    answer = house.ask(path, "GET", body=b"", **headers)
    return set(answer.headers.get(HEADERS[house.gatehouse.settings.purge_kind], "").split())


def filename(house: WebHouse) -> str:
    name: str = house.ask("/simple/fronted-thing/?format=application/vnd.pypi.simple.v1%2Bjson").json["files"][0][
        "filename"
    ]
    return name


def test_every_answer_carries_the_keys_that_its_change_purges(fronted: WebHouse) -> None:
    name = filename(fronted)
    digest = sha256_hex(fronted.ask(f"/files/fronted-thing/{name}").body)
    page = sha256_hex(fronted.ask("/simple/fronted-thing/").body)
    snapshot = fronted.gatehouse.health.overview().snapshot_version
    expected = {
        "/tuf/metadata/timestamp.json": "tuf/timestamp",
        "/tuf/metadata/1.root.json": "tuf/root",
        "/tuf/metadata/2.root.json": "tuf/root",
        f"/tuf/metadata/{snapshot}.snapshot.json": "tuf/metadata",
        "/simple/": "simple",
        "/simple/fronted-thing/": "simple/fronted-thing",
        f"/files/fronted-thing/{name}": "files/fronted-thing",
        f"/files/fronted-thing/{name}.metadata": "files/fronted-thing",
        f"/tuf/targets/files/fronted-thing/{digest}.{name}": "files/fronted-thing",
        f"/tuf/targets/files/fronted-thing/{name}": "files/fronted-thing",
        f"/tuf/targets/simple/fronted-thing/{page}.index.html": "files/fronted-thing",
        "/tuf/targets/simple/fronted-thing/index.html": "simple/fronted-thing",
    }
    for path, key in expected.items():
        asked: list[dict[str, str]] = [{}, {"Accept_Encoding": "br"}, {"If_None_Match": "*"}]
        for headers in asked:
            assert keys(fronted, path, **headers) == {key}, path


def test_caches_hold_pages_that_clients_ask_for_each_time(fronted: WebHouse) -> None:
    for path in ("/simple/", "/simple/fronted-thing/"):
        headers = fronted.ask(path).headers
        assert headers["Cache-Control"] == "public, no-cache"
        assert headers["Surrogate-Control"] == "max-age=900"


def test_what_may_not_be_held_is_said_in_the_words_of_caches_too(fronted: WebHouse) -> None:
    for path in (
        "/simple/Fronted_Thing/",
        "/nothing",
        "/files/fronted-thing/x.whl",
        "/readyz",
        "/simple/unknown/",
    ):
        assert fronted.ask(path).headers["Surrogate-Control"] == "max-age=0", path


def test_what_says_itself_how_long_says_nothing_more(fronted: WebHouse) -> None:
    for path in ("/tuf/metadata/timestamp.json", "/tuf/metadata/1.root.json", "/tuf/metadata/2.root.json"):
        assert "Surrogate-Control" not in fronted.ask(path).headers


def test_without_a_cache_in_front_nothing_of_this_is_said(house: WebHouse, sample: str) -> None:
    for path in ("/simple/sample-thing/", f"/files/sample-thing/{sample}", "/tuf/metadata/timestamp.json"):
        headers = house.ask(path).headers
        assert not {"Surrogate-Key", "xkey", "Surrogate-Control"} & set(headers)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"purge_kind": "varnish"}, "purge_url"),
        ({"purge_kind": "fastly"}, "purge_service"),
        ({"purge_kind": "fastly", "purge_service": "abc"}, "purge_token_file"),
    ],
)
def test_a_setting_that_the_kind_of_cache_needs_is_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        open_purger(Settings(**settings))


def test_a_token_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(purge_kind="fastly", purge_service="abc", purge_token_file=str(tmp_path / "none"))
    with pytest.raises(OperatorError, match="purge token"):
        open_purger(settings)
