"""A real Varnish with the VCL that we ship, in front of a house at work: held, purged, never in a client's way."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import brotli  # type: ignore[import-untyped]  # ships no types
import pytest
import urllib3

from gatehouse.cli.demo.client import Client, Verifier
from gatehouse.worker.beside import working
from tests.support import quiet_pyramid
from tests.support.distributions import build_wheel
from tests.support.serving import serving
from tests.support.traffic import Watcher
from tests.support.varnish import running_varnish
from tests.support.waiting import wait_until
from tests.support.web_house import WebHouse, web_house

__all__ = ["quiet_pyramid"]
pytestmark = pytest.mark.system
JSON = "application/vnd.pypi.simple.v1+json"
PIP = f"{JSON}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"


@dataclass
class Front:
    """The application behind Varnish, known only when Varnish is."""

    app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.app is None:
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return self.app(environ, start_response)


@dataclass
class Fronted:
    """A house at work behind Varnish, and a client of both."""

    house: WebHouse
    url: str
    front: Front
    root: bytes
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=60))

    @property
    def client(self) -> Client:
        return Client(self.url, self.house.token)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request("GET", self.url + path, headers=named, decode_content=False)

    def cached(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """The answer when Varnish holds it."""
        found: list[urllib3.BaseHTTPResponse] = []

        def held() -> bool:
            found[:] = [self.get(path, **headers)]
            return found[0].headers["X-Cache"] == "hit"

        wait_until(held)
        return found[0]

    def upload(self, name: str, version: str) -> str:
        """Upload through Varnish and wait, through Varnish, until it is published; the filename."""
        filename, content = build_wheel(name, version)
        assert self.client.upload(filename, content)[0] == 200
        path = f"/api/v1/targets/files/{name}/{filename}?wait=20"

        def covered() -> bool:
            answer = self.get(path, Authorization=f"Bearer {self.house.token}")
            return bool(json.loads(answer.data)["state"] == "covered")

        wait_until(covered)
        return filename

    def files(self, name: str) -> list[dict[str, Any]]:
        page: dict[str, list[dict[str, Any]]] = json.loads(self.get(f"/simple/{name}/", Accept=PIP).data)
        return page["files"]

    def timestamp(self) -> int:
        version: int = json.loads(self.get("/tuf/metadata/timestamp.json").data)["signed"]["version"]
        return version

    def waiting(self) -> int:
        with self.house.gatehouse.database.read() as transaction:
            return transaction.outbox.count()[0]

    def verifier(self, folder: Path) -> Verifier:
        return Verifier(folder, self.url, self.root)


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    folder, front = tmp_path_factory.mktemp("varnish"), Front()
    with (
        serving(front, folder) as port,
        running_varnish(port) as url,
        pytest.MonkeyPatch.context() as patch,
        web_house(folder / "home", purge_kind="varnish", purge_url=url) as house,
    ):
        # An hour, as pages have it: what is seen in a test is seen because Varnish was told.
        patch.setattr("gatehouse.web.tuf.SHORT", "public, max-age=3600")
        front.app = house.app
        house.house.publisher.stop()
        root = house.gatehouse.metadata_store.read("1.root.json")
        assert root is not None
        with working(house.gatehouse, alone=True):
            ready = Fronted(house=house, url=url, front=front, root=root)
            wait_until(lambda: ready.get("/healthz").status == 200)
            yield ready


def test_a_change_is_seen_at_once_and_a_client_is_never_refused(fronted: Fronted, tmp_path: Path) -> None:
    first = fronted.upload("changing-thing", "1.0")
    # A watcher refreshes with python-tuf all the time, through Varnish.
    watcher = Watcher(fronted.verifier(tmp_path / "watcher"), f"files/changing-thing/{first}")
    watcher.start()
    seen = [first]

    def newer(than: int) -> bool:
        return fronted.timestamp() > than

    for version in ("2.0", "3.0"):
        assert fronted.cached("/simple/changing-thing/", Accept=PIP).status == 200
        fronted.cached("/tuf/metadata/timestamp.json")
        before = fronted.timestamp()
        seen.append(fronted.upload("changing-thing", version))
        wait_until(lambda: [file["filename"] for file in fronted.files("changing-thing")] == seen)
        wait_until(partial(newer, before))
        # And a client that starts now finds page and file as they are now.
        paths = ["simple/changing-thing/index.v1.json", f"files/changing-thing/{seen[-1]}"]
        page, content = fronted.verifier(tmp_path / version).download(paths).values()
        assert page == fronted.get("/simple/changing-thing/", Accept=PIP).data
        assert content == build_wheel("changing-thing", version)[1]
    watcher.stopping.set()
    watcher.join(60)
    assert watcher.faults == []


def test_a_file_that_left_the_index_leaves_the_cache(fronted: Fronted) -> None:
    filename = fronted.upload("leaving-thing", "1.0")
    digest = fronted.files("leaving-thing")[0]["hashes"]["sha256"]
    paths = [
        f"/files/leaving-thing/{filename}",
        f"/files/leaving-thing/{filename}.metadata",
        f"/tuf/targets/files/leaving-thing/{digest}.{filename}",
    ]

    def gone(path: str) -> bool:
        return fronted.get(path).status == 404

    for path in paths:
        assert fronted.cached(path).status == 200
        assert "immutable" in fronted.get(path).headers["Cache-Control"]
    assert fronted.client.act("DELETE", f"projects/leaving-thing/releases/1.0/files/{filename}") == 204
    for path in paths:
        wait_until(partial(gone, path))


def test_every_form_is_held_for_those_who_take_it(fronted: Fronted) -> None:
    fronted.upload("packed-thing", "1.0")
    snapshot = fronted.house.gatehouse.health.overview().snapshot_version
    for path in ("/simple/packed-thing/", "/simple/", f"/tuf/metadata/{snapshot}.snapshot.json"):
        plain = fronted.cached(path)
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Content-Length"] == str(len(plain.data))
        gzipped = fronted.cached(path, Accept_Encoding="gzip, deflate")
        brotlied = fronted.cached(path, Accept_Encoding="gzip, deflate, br, zstd")
        assert (gzipped.headers["Content-Encoding"], gzip.decompress(gzipped.data)) == ("gzip", plain.data)
        assert (brotlied.headers["Content-Encoding"], brotli.decompress(brotlied.data)) == ("br", plain.data)
        assert len({answer.headers["ETag"] for answer in (plain, gzipped, brotlied)}) == 3
        # What is asked for oddly is answered rightly, and not held.
        odd = fronted.get(path, Accept_Encoding="br;q=0, gzip;q=0.5")
        assert (odd.headers["Content-Encoding"], odd.data) == ("gzip", gzipped.data)
        assert fronted.get(path, Accept_Encoding="br;q=0, gzip;q=0.5").headers["X-Cache"] == "miss"
        known = fronted.get(path, Accept_Encoding="br", If_None_Match=brotlied.headers["ETag"])
        assert (known.status, known.data) == (304, b"")


def test_a_page_comes_in_the_form_that_was_asked_for(fronted: Fronted) -> None:
    fronted.upload("formed-thing", "1.0")
    asked = {
        PIP: JSON,
        JSON: JSON,
        "text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
        "*/*": "text/html; charset=utf-8",
        "application/vnd.pypi.simple.v1+html": "application/vnd.pypi.simple.v1+html; charset=utf-8",
    }
    for _ in range(2):
        for accept, content_type in asked.items():
            assert fronted.get("/simple/formed-thing/", Accept=accept).headers["Content-Type"] == content_type
        assert fronted.get("/simple/formed-thing/", Accept="image/png").status == 406
    assert (
        fronted.get("/simple/formed-thing/?format=application/vnd.pypi.simple.v1%2Bjson").headers["Content-Type"]
        == JSON
    )


def test_the_absence_of_the_next_snapshot_is_not_held(fronted: Fronted, tmp_path: Path) -> None:
    """Who asks for it early must not hide it from those who come with the timestamp that names it."""
    overview = fronted.house.gatehouse.health.overview()
    assert overview.snapshot_version is not None
    following = f"/tuf/metadata/{overview.snapshot_version + 1}.snapshot.json"
    for _ in range(3):
        assert fronted.get(following).status == 404
    path = f"files/early-thing/{fronted.upload('early-thing', '1.0')}"
    assert fronted.get(following).status == 200
    wait_until(lambda: fronted.verifier(tmp_path).download([path])[path] is not None)


def test_the_404_of_the_next_root_is_held_and_purged(fronted: Fronted) -> None:
    assert fronted.cached("/tuf/metadata/2.root.json").status == 404
    gatehouse = fronted.house.gatehouse
    with gatehouse.database.write() as transaction:
        gatehouse.purges.announce(transaction, ["tuf/root"], at=gatehouse.clock.now())
    wait_until(lambda: fronted.get("/tuf/metadata/2.root.json").headers["X-Cache"] == "miss")


def test_nothing_of_what_is_said_to_caches_reaches_a_client(fronted: Fronted) -> None:
    fronted.upload("quiet-thing", "1.0")
    for path in ("/simple/quiet-thing/", "/tuf/metadata/timestamp.json", "/nothing", "/readyz"):
        assert not {"xkey", "Surrogate-Control", "Via", "X-Varnish"} & set(fronted.get(path).headers)


def test_a_query_or_a_cookie_does_not_make_another_object(fronted: Fronted) -> None:
    fronted.cached("/tuf/metadata/1.root.json")
    answer = fronted.get("/tuf/metadata/1.root.json?bust=1", Cookie="a=b", Authorization="Bearer x")
    assert answer.headers["X-Cache"] == "hit"


def test_a_stranger_cannot_purge(fronted: Fronted) -> None:
    fronted.cached("/tuf/metadata/1.root.json")
    with urllib3.PoolManager(retries=False, source_address=("127.0.0.2", 0)) as stranger:
        assert stranger.request("PURGE", fronted.url, headers={"xkey": "tuf/root"}).status == 403
    # Nor one who comes through a proxy on this machine.
    for header in ("X-Forwarded-For", "Forwarded", "Via"):
        asked = fronted.pool.request("PURGE", fronted.url, headers={"xkey": "tuf/root", header: "192.0.2.1"})
        assert asked.status == 403
    assert fronted.get("/tuf/metadata/1.root.json").headers["X-Cache"] == "hit"


def test_a_page_purged_softly_is_fetched_anew_while_the_house_is_there(fronted: Fronted) -> None:
    fronted.cached("/simple/")
    assert fronted.pool.request("PURGE", fronted.url, headers={"xkey-soft": "simple"}).status == 200
    assert fronted.get("/simple/").headers["X-Cache"] == "miss"


def test_while_the_house_is_away_its_last_words_are_served(
    fronted: Fronted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatehouse.gate.purge.AGAIN_AFTER", timedelta(seconds=0.1))
    monkeypatch.setattr("gatehouse.web.tuf.SHORT", "public, max-age=1")
    filename = fronted.upload("lasting-thing", "1.0")
    path = f"files/lasting-thing/{filename}"
    verifier = fronted.verifier(tmp_path)
    # What is covered here is so in a cache when the purge has come.
    wait_until(lambda: verifier.download([path])[path] is not None)
    # A purge that comes now would leave nothing to serve.
    wait_until(lambda: fronted.waiting() == 0)
    verifier.download([path])
    app, fronted.front.app = fronted.front.app, None
    try:
        # Varnish has noticed: it says so itself, where the front says nothing.
        wait_until(lambda: b"Backend fetch failed" in fronted.get("/healthz").data)
        time.sleep(1.1)  # what may be held for a second is older than that
        assert verifier.download([path])[path] is not None
    finally:
        fronted.front.app = app
