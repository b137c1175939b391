"""`GET /api/v1/targets/…`: the blocking form of signing, as a client sees it."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from tests.support.serving import serving
from tests.support.waiting import wait_until
from tests.support.web_house import Answer, WebHouse, form, upload_parts, web_house


def upload(house: WebHouse, name: str) -> str:
    """The target path of a wheel that waits for its screening."""
    parts = upload_parts(name, "1.0")
    assert house.upload(form(parts)).status_int == 200
    return f"files/{name}/{parts[-1][2]}"  # type: ignore[misc]  # the last part has three


def ask(house: WebHouse, path: str, query: str = "", **headers: str) -> Answer:
    return house.ask(f"/api/v1/targets/{path}{query}", "GET", body=b"", **headers)


def test_the_answer_says_what_covers_a_target_and_since_when(house: WebHouse) -> None:
    path = upload(house, "covered-thing")
    assert ask(house, path).json["state"] == "absent"
    house.house.screen()
    pending = ask(house, path).json
    assert (pending["state"], pending["snapshot_version"], pending["published_at"]) == ("pending", None, None)
    house.publish()
    answer = ask(house, path)
    covered = answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert (covered["path"], covered["state"]) == (path, "covered")
    assert (covered["sha256"], covered["length"]) == (pending["sha256"], pending["length"])
    snapshot = house.ask(f"/tuf/metadata/{covered['snapshot_version']}.snapshot.json")
    assert snapshot.status_int == 200
    assert house.ask("/tuf/metadata/timestamp.json").json["signed"]["version"] >= covered["timestamp_version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", covered["published_at"])


@pytest.mark.parametrize(
    "query",
    ["?wait=31", "?wait=-1", "?wait=", "?wait=1e1", "?wait=nan", "?wait=1&wait=2", "?wait=0x1", "?wait=%FF"],
)
def test_a_wait_that_is_no_number_of_seconds_is_400(house: WebHouse, query: str) -> None:
    answer = ask(house, "files/a/a-1.0.tar.gz", query)
    assert (answer.status_int, answer.json["code"]) == (400, "bad-request")
    assert "wait" in answer.json["detail"]


@pytest.mark.parametrize(
    "path", ["files/A/x.whl", "files/a/.x", "audit/a/b", "simple/a/other.html", "files/a/%00"]
)
def test_a_path_outside_the_grammar_is_400(house: WebHouse, path: str) -> None:
    answer = ask(house, path, "?wait=5")
    assert (answer.status_int, answer.json["code"]) == (400, "invalid-name")


def test_a_stranger_does_not_wait_for_what_is_not_there_and_a_bad_token_does_not_help(
    house: WebHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "files/never-there/never_there-1.0.tar.gz"
    with monkeypatch.context() as full:
        # Who waits now is turned away.
        full.setattr(house.gatehouse.covers, "waiters", 0)
        assert ask(house, path, "?wait=30").json["state"] == "absent"
        assert ask(house, path, "?wait=30", Authorization="Bearer wrong").status_int == 401
        assert ask(house, path, "?wait=30", Authorization=f"Bearer {house.token}").status_int == 503
    began = time.monotonic()
    assert ask(house, path, "?wait=0.2", Authorization=f"Bearer {house.token}").json["state"] == "absent"
    assert time.monotonic() - began >= 0.2


def test_those_who_wait_leave_threads_for_others_and_all_are_answered(tmp_path: Path) -> None:
    with web_house(tmp_path / "home", threads=8) as house, serving(house.app, tmp_path) as port:
        # The server has four threads and the house lets two wait: as settings of eight threads make it.
        path = upload(house, "awaited-thing")
        house.house.screen()
        house.gatehouse.covers.monotonic = lambda: 0.0
        url, pool = f"http://127.0.0.1:{port}", urllib3.PoolManager(maxsize=8, retries=False)
        with ThreadPoolExecutor(6) as clients:
            asked = [clients.submit(pool.request, "GET", f"{url}/api/v1/targets/{path}?wait=20") for _ in range(6)]
            wait_until(lambda: sum(future.done() for future in asked) == 4)
            turned_away = [future.result() for future in asked if future.done()]
            assert pool.request("GET", f"{url}/tuf/metadata/timestamp.json").status == 200
            assert sum(future.done() for future in asked) == 4
            assert all(response.status == 503 for response in turned_away)
            assert all(response.json()["code"] == "busy" for response in turned_away)
            assert all(int(response.headers["Retry-After"]) > 0 for response in turned_away)
            house.publish()
            states = [future.result(60).json().get("state") for future in asked if future.result(60).status == 200]
        assert states == ["covered", "covered"]


def test_a_server_that_ends_does_not_wait_for_those_who_wait(tmp_path: Path) -> None:
    with web_house(tmp_path / "home") as house:
        path = upload(house, "ending-thing")
        house.house.screen()
        covers = house.gatehouse.covers
        covers.monotonic = lambda: 0.0
        with ThreadPoolExecutor(1) as clients:
            asked = clients.submit(ask, house, path, "?wait=30")
            wait_until(lambda: covers._waiting == 1)
            covers.close()
            assert asked.result(60).json["state"] == "pending"
