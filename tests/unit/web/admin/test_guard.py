"""Who gets as far as a screen: this machine, its own pages, and those who are logged in."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from gatehouse.web.proxied import HEADERS
from tests.support.desk import ORIGIN, Browser, Desk

SCREENS = ["/admin/", "/admin/decisions", "/admin/audit", "/admin/subjects/1"]
ALL = [*SCREENS, "/admin/login", "/admin/desk.css"]


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    "peer", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "", "localhost", None]
)
def test_other_machines_are_refused_in_a_clear_sentence(desk_house: Desk, path: str, peer: str | None) -> None:
    seen = desk_house.browser().get(path, REMOTE_ADDR=peer)
    assert seen.status == 403
    assert "The administration answers on its own machine only" in seen.text


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_this_machine_gets_the_log_in(desk_house: Desk, peer: str) -> None:
    assert desk_house.browser().get("/admin/login", REMOTE_ADDR=peer).status == 200


@pytest.mark.parametrize("header", HEADERS)
def test_what_a_proxy_passed_on_is_refused(alice: Browser, header: str) -> None:
    assert alice.get("/admin/", **{header.replace("-", "_").title(): "127.0.0.1"}).status == 403
    assert alice.get("/admin/").status == 200


def test_http_1_0_is_what_a_proxy_speaks(alice: Browser) -> None:
    assert alice.get("/admin/", SERVER_PROTOCOL="HTTP/1.0").status == 403


@pytest.mark.parametrize(
    "host",
    [
        "attacker.invalid",
        "localhost.attacker.invalid",
        "127.0.0.1.attacker.invalid",
        "localhost:1:2",
        "localhost:",
        "user@localhost",
        "[::2]",
        "127.0.0.2",
        "localhost\x00",
        "",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(alice: Browser, host: str) -> None:
    seen = alice.get("/admin/", Host=host)
    assert seen.status == 403
    assert "localhost, 127.0.0.1 and [::1]" in seen.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:6458", "[::1]:6458", "[::1]"])
def test_the_names_of_this_machine_are_taken(alice: Browser, host: str) -> None:
    assert alice.get("/admin/", Host=host).status == 200


@pytest.mark.parametrize("path", SCREENS)
@pytest.mark.parametrize("cookie", [None, "", "a" * 43, "\x00", "a" * 4000, "ä"])
def test_without_a_session_every_screen_leads_to_the_log_in(
    desk_house: Desk, path: str, cookie: str | None
) -> None:
    browser = desk_house.browser()
    seen = browser.get(path, Cookie=None if cookie is None else f"gatehouse_session={cookie}")
    assert seen.status == 303
    assert browser.follow(path, seen).status == 200


def test_the_address_asked_for_is_kept_over_the_log_in_if_it_is_a_screen_of_ours(desk_house: Desk) -> None:
    browser = desk_house.browser()
    assert (
        'name="next" value="subjects/7"'
        in browser.follow("/admin/subjects/7", browser.get("/admin/subjects/7")).text
    )
    for foreign in (
        "//attacker.invalid",
        "https:attacker.invalid",
        "subjects/7/../..",
        "subjects/7%0d%0aX:y",
        "../",
    ):
        assert 'name="next" value=""' in browser.get(f"/admin/login?next={foreign}").text


def test_every_answer_carries_the_strict_headers(desk_house: Desk, alice: Browser) -> None:
    answers = [alice.get(path) for path in ALL]
    answers += [desk_house.browser().get("/admin/"), alice.get("/admin/", Host="x"), alice.get("/admin/?page=x")]
    answers += [alice.post("/admin/logout", {})]
    for seen in answers:
        assert seen.headers["Content-Security-Policy"] == (
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert seen.headers["Cache-Control"] == "no-store"
        assert seen.headers["X-Content-Type-Options"] == "nosniff"
        assert seen.headers["X-Frame-Options"] == "DENY"
        assert seen.headers["Referrer-Policy"] == "same-origin"
        assert seen.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_pages_have_no_script_no_inline_style_and_no_handler(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("plain-thing")
    for path in ("/admin/", f"/admin/subjects/{number}", "/admin/decisions", "/admin/audit", "/admin/login"):
        text = alice.get(path).text.lower()
        assert "<script" not in text
        assert " style=" not in text
        assert "<style" not in text
        assert not [tag for tag in re.findall(r"<[a-z][^>]*>", text) if re.search(r"\son[a-z]+=", tag)]


@pytest.mark.parametrize(
    "changes",
    [
        {"Origin": "http://attacker.invalid"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "https://localhost:6458"},
        {"Origin": ""},
        {"Origin": None},
        {"Origin": None, "Referer": "http://attacker.invalid/http://localhost:6458/"},
        {"Origin": None, "Referer": "http://localhost:64580/"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_a_form_of_another_site_is_refused(alice: Browser, changes: dict[str, str | None]) -> None:
    token = alice.get("/admin/").token
    seen = alice.post("/admin/logout", {"token": token}, **changes)
    assert seen.status == 403
    assert "did not come from this page" in seen.text
    assert alice.get("/admin/").status == 200, "the session goes on"


def test_an_old_browser_proves_itself_by_its_referer(alice: Browser) -> None:
    token = alice.get("/admin/").token
    seen = alice.post(
        "/admin/logout", {"token": token}, Origin=None, Sec_Fetch_Site=None, Referer=f"{ORIGIN}/admin/"
    )
    assert seen.status == 303


@pytest.mark.parametrize("token", [None, "", "0" * 64, "ü"])
@pytest.mark.parametrize("path", ["/admin/logout", "/admin/login", "/admin/subjects/1/decide"])
def test_a_form_without_this_sessions_token_is_refused(alice: Browser, path: str, token: str | None) -> None:
    alice.get("/admin/login")
    fields = {"name": "alice"} if token is None else {"token": token}
    assert alice.post(path, fields).status == 403
    assert alice.get("/admin/").status == 200


def test_the_token_of_another_session_does_not_do(desk_house: Desk, alice: Browser) -> None:
    other = desk_house.alice()
    assert alice.post("/admin/logout", {"token": other.get("/admin/").token}).status == 403


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"token=" + b"a" * 65536, None, 413),
        (b"token=a", "multipart/form-data; boundary=x", 400),
        (b"token=a", "text/plain", 400),
        (b"token=a", "", 400),
        (b"token=a&token=b", None, 400),
        (b"&".join(b"f%d=1" % number for number in range(65)), None, 400),
        (b"token=%ff%fe", None, 400),
        (b"\xff", None, 400),
    ],
)
def test_what_is_no_small_form_is_refused(
    alice: Browser, body: bytes, content_type: str | None, status: int
) -> None:
    changes = {} if content_type is None else {"Content_Type": content_type}
    assert alice.post("/admin/logout", body, **changes).status == status
    assert alice.get("/admin/").status == 200


def test_over_https_cookies_are_secure(desk_house: Desk) -> None:
    browser = desk_house.browser()
    seen = browser.get("https://localhost/admin/login", Host="localhost")
    assert seen.status == 200
    assert "secure" in browser.set_cookies[0].lower()


def test_a_log_out_ends_the_session_for_everybody_who_has_the_cookie(alice: Browser) -> None:
    stolen = dict(alice.cookies)
    seen = alice.post("/admin/logout", {"token": alice.get("/admin/").token})
    assert seen.status == 303
    assert "gatehouse_session" not in alice.cookies
    alice.cookies.update(stolen)
    assert alice.get("/admin/").status == 303


def test_a_session_ends_with_time(desk_house: Desk, alice: Browser) -> None:
    desk_house.clock.advance(timedelta(minutes=30))
    assert alice.get("/admin/").status == 303


def test_a_wrong_method_is_refused(alice: Browser) -> None:
    assert alice.get("/admin/logout").status == 405
    assert alice.post("/admin/audit", {}).status == 405


def test_without_its_last_slash_the_desk_redirects(alice: Browser) -> None:
    seen = alice.get("/admin")
    assert (seen.status, seen.headers["Location"]) == (301, "admin/")
