"""The log-in as a form."""

from __future__ import annotations

from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from gatehouse.web.admin.brake import Brake
from gatehouse.web.problems import Busy
from tests.support.desk import HOSTILE, Desk, desk


def test_a_log_in_opens_the_desk_with_a_new_session_each_time(desk_house: Desk) -> None:
    browser = desk_house.browser()
    sessions = set()
    for _ in range(2):
        assert desk_house.log_in(browser).status == 303
        sessions.add(browser.cookies["gatehouse_session"])
    assert len(sessions) == 2
    assert "What waits" in browser.get("/admin/").text


def test_the_session_cookie_is_kept_from_scripts_other_sites_and_other_paths(desk_house: Desk) -> None:
    browser = desk_house.browser()
    desk_house.log_in(browser)
    cookies = SimpleCookie("; ".join(line for line in browser.set_cookies if line.startswith("gatehouse_session")))
    morsel = cookies["gatehouse_session"]
    assert (morsel["path"], morsel["httponly"], morsel["samesite"]) == ("/admin", True, "Strict")
    assert not morsel["domain"]
    assert not morsel["secure"], "http on loopback"
    assert not morsel["max-age"], "it ends with the browser"


def test_a_session_that_a_stranger_planted_is_not_the_one_that_opens(desk_house: Desk) -> None:
    browser = desk_house.browser()
    browser.cookies["gatehouse_session"] = "p" * 43
    assert desk_house.log_in(browser).status == 303
    assert browser.cookies["gatehouse_session"] != "p" * 43
    browser.cookies["gatehouse_session"] = "p" * 43
    assert browser.get("/admin/").status == 303


def test_it_leads_on_to_the_screen_that_was_asked_for(desk_house: Desk) -> None:
    browser = desk_house.browser()
    assert "Audit log" in browser.follow("/admin/login", desk_house.log_in(browser, next="audit")).text


@pytest.mark.parametrize(
    "onward", ["//attacker.invalid/", "https://attacker.invalid/", "\\attacker.invalid", "../../"]
)
def test_it_leads_nowhere_else(desk_house: Desk, onward: str) -> None:
    seen = desk_house.log_in(desk_house.browser(), next=onward)
    assert (seen.status, seen.headers["Location"]) == (303, "./")


def test_all_refusals_look_the_same_and_show_what_was_typed_as_text(desk_house: Desk) -> None:
    browser = desk_house.browser()
    answers = [
        desk_house.log_in(browser, **{"name": HOSTILE, **fields})
        for fields in ({}, {"password": "unlikely words"}, {"code": "x"})
    ]
    assert {seen.status for seen in answers} == {403}
    (text,) = {seen.text for seen in answers}
    assert "<script>" not in text
    assert "<img" not in text
    assert "Name, password or code are not right" in text
    assert "unlikely words" not in text, "a password is never sent back"


def test_a_form_without_its_cookie_is_refused(desk_house: Desk) -> None:
    browser = desk_house.browser()
    token = browser.get("/admin/login").token
    browser.cookies.clear()
    seen = browser.post("/admin/login", {"token": token, "name": "alice"})
    assert seen.status == 403
    assert "open it again" in seen.text


def test_log_ins_are_braked_whoever_they_are(tmp_path: Path) -> None:
    with desk(tmp_path / "home") as house:
        browser = house.browser()
        statuses = [house.log_in(browser, name=f"nobody-{number}").status for number in range(20)]
        assert statuses == [403] * 20
        seen = house.log_in(browser)
        assert (seen.status, seen.headers["Retry-After"]) == (503, "30")
        assert "wait a minute" in seen.text


def test_the_brake_lets_go_after_a_minute() -> None:
    now = [0.0]
    brake = Brake(a_minute=2, at_once=2, monotonic=lambda: now[0])
    for _ in range(2):
        with brake.passing():
            now[0] += 1
    with pytest.raises(Busy), brake.passing():
        pass
    now[0] = 60.0
    with brake.passing():
        pass


def test_the_brake_lets_two_through_at_once_and_counts_those_that_failed() -> None:
    brake = Brake(a_minute=100, at_once=2, monotonic=lambda: 0.0)
    with brake.passing(), brake.passing(), pytest.raises(Busy), brake.passing():
        pass
    with pytest.raises(ValueError, match="inside"), brake.passing():
        raise ValueError("inside")
    with brake.passing(), brake.passing():
        pass
