"""The desk: what waits, a subject with its evidence, decisions and their effect."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.malware.model import Kind, Subject, Tier
from gatehouse.web.admin.visible import visible
from tests.support.desk import HOSTILE, Browser, Desk, hostile


def decide(browser: Browser, number: int, action: str, reason: str = "looked at it") -> int:
    page = browser.get(f"/admin/subjects/{number}")
    return browser.post(
        f"/admin/subjects/{number}/decide", {"token": page.token, "action": action, "reason": reason}
    ).status


def test_what_waits_stands_highest_tier_first_with_counts(desk_house: Desk, alice: Browser) -> None:
    for name, tier in (("low-one", Tier.QUEUE), ("high-one", Tier.HOLD), ("mid-one", Tier.ALERT)):
        desk_house.judged(name, tier)
    text = alice.get("/admin/").text
    rows = text[text.index("<tbody") :]
    assert rows.index("high_one-1.0") < rows.index("mid_one-1.0") < rows.index("low_one-1.0")
    assert "The test says so." in rows
    assert "told-so" in rows
    counts = text[text.index('class="counts"') : text.index("</ul>", text.index('class="counts"'))]
    assert re.findall(r"tier-(\w+)", counts) == ["hold", "alert", "queue"]
    assert "to be kept off the index" in counts


def test_a_subject_shows_all_its_evidence(desk_house: Desk, alice: Browser) -> None:
    text = alice.get(f"/admin/subjects/{desk_house.judged('evident-thing')}").text
    for piece in (
        "evident_thing-1.0-py3-none-any.whl",
        "The test says so.",
        "<bdi>setup.py</bdi>:3",
        "runs while it is installed",
        "exec(payload)",
        "told-so",
        "Uploaded by",
        "<strong>held</strong>",
        "score 0.97",
        "The score is made of: ",
    ):
        assert piece in text
    chain = text[text.index('class="chain"') :]
    assert chain.index("source") < chain.index("sink")


def test_incomplete_is_never_shown_as_clean(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("broken-thing", "The child was killed: out of memory.")
    for path in ("/admin/", f"/admin/subjects/{number}"):
        text = alice.get(path).text
        assert "INCOMPLETE, not clean" in text
        assert "out of memory" in text
        assert "nothing of note" not in text
        assert "tier-none" not in text


def test_a_decision_takes_effect_and_leaves_the_list(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("judged-thing")
    filename = "judged_thing-1.0-py3-none-any.whl"
    assert filename in alice.get("/admin/").text
    assert decide(alice, number, "let-through", "Read setup.py:\r\nonly a version <check>.") == 303
    assert filename not in alice.get("/admin/").text
    assert desk_house.house.file(filename).state is FileState.PUBLISHED
    page = alice.get(f"/admin/subjects/{number}").text
    assert "only a version &lt;check&gt;." in page
    assert "by <bdi>alice</bdi>" in page
    assert filename in alice.get("/admin/decisions").text
    log = alice.get("/admin/audit").text
    assert "decision:let-through" in log
    assert "from <bdi>127.0.0.1</bdi>" in log


def test_only_actions_that_make_sense_are_offered(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("offered-thing")

    def offered() -> list[str]:
        return re.findall(r'name="action" value="([a-z-]+)"', alice.get(f"/admin/subjects/{number}").text)

    assert offered() == ["hold", "let-through", "remove"]
    assert decide(alice, number, "remove") == 303
    assert offered() == ["restore"]
    assert decide(alice, number, "restore") == 303
    assert offered() == ["hold", "let-through", "remove"]


def test_a_decision_that_does_not_apply_any_more_is_a_conflict_in_a_sentence(
    desk_house: Desk, alice: Browser
) -> None:
    number = desk_house.judged("stale-thing")
    page = alice.get(f"/admin/subjects/{number}")
    assert decide(alice, number, "remove") == 303
    seen = alice.post(
        f"/admin/subjects/{number}/decide", {"token": page.token, "action": "remove", "reason": "again"}
    )
    assert seen.status == 409
    assert "There is nothing to remove" in seen.text
    assert "text/html" in seen.headers["Content-Type"]


def test_a_decision_on_a_project_is_about_the_files_that_were_on_the_page(
    desk_house: Desk, alice: Browser
) -> None:
    file = desk_house.judged("growing-thing")
    above = re.findall(r'<dt>Belongs to</dt><dd><a href="(\d+)">', alice.get(f"/admin/subjects/{file}").text)
    path = f"/admin/subjects/{above[-1]}"
    page = alice.get(path)
    (seen,) = re.findall(r'name="seen" value="([0-9a-f]{64})"', page.text)
    desk_house.house.wheel("growing-thing", "2.0")
    fields = {"token": page.token, "action": "let-through", "reason": "looked at it"}
    for stale in (fields, {**fields, "seen": seen}):
        refused = alice.post(f"{path}/decide", stale)
        assert refused.status == 409
        assert "changed since you looked" in refused.text
    (seen,) = re.findall(r'name="seen" value="([0-9a-f]{64})"', alice.get(path).text)
    assert alice.post(f"{path}/decide", {**fields, "seen": seen}).status == 303
    assert desk_house.house.file("growing_thing-1.0-py3-none-any.whl").state is FileState.PUBLISHED


def test_a_decision_needs_an_action_and_a_reason(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("needy-thing")
    token = alice.get("/admin/").token
    for fields in (
        {"action": "remove", "reason": ""},
        {"action": "remove", "reason": "  \r\n "},
        {"action": "remove"},
        {"action": "remove", "reason": "x" * 2001},
        {"action": "explode", "reason": "x"},
        {"action": HOSTILE, "reason": "x"},
        {"reason": "x"},
    ):
        seen = alice.post(f"/admin/subjects/{number}/decide", {"token": token, **fields})
        assert seen.status == 400, fields
        assert "<script>" not in seen.text
    assert desk_house.house.file("needy_thing-1.0-py3-none-any.whl").state is FileState.HELD


@pytest.mark.parametrize("kind", list(Kind))
def test_markup_in_every_field_shows_as_text_everywhere(desk_house: Desk, alice: Browser, kind: Kind) -> None:
    number = desk_house.add(hostile(kind))
    desk_house.add(hostile(kind), trigger=HOSTILE)
    for path, least in (("/admin/", 3), (f"/admin/subjects/{number}", 10)):
        text = alice.get(path).text
        assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= least
        assert "<script" not in text
        assert "<img" not in text
        assert "{{ 7*7 }}" in text
        for unseen in "\u202e\u200b\x1b\ufe0f\U000e0041":
            assert unseen not in text
        assert "⟨U+202E⟩gnp.exe⟨U+200B⟩⟨U+001B⟩[31m⟨U+E0041⟩⟨U+FE0F⟩" in text


def test_a_hostile_reason_is_text_in_every_list(desk_house: Desk, alice: Browser) -> None:
    number = desk_house.judged("reasoned-thing")
    assert decide(alice, number, "remove", HOSTILE.replace("\x1b", "")) == 303
    for path in (f"/admin/subjects/{number}", "/admin/decisions", "/admin/audit"):
        text = alice.get(path).text
        assert "&lt;script&gt;" in text
        assert "<script" not in text
        assert "\u202e" not in text


def test_an_excerpt_cannot_leave_its_frame(desk_house: Desk, alice: Browser) -> None:
    text = alice.get(f"/admin/subjects/{desk_house.add(hostile())}").text
    assert text.count("<pre") == text.count("</pre>") == 1
    assert "&lt;/code&gt;&lt;/pre&gt;" in text


def test_long_lists_of_evidence_are_cut_and_counted(desk_house: Desk, alice: Browser) -> None:
    screened = hostile()
    screened = replace(
        screened,
        subject=replace(screened.subject, name="long-thing"),
        findings=screened.findings * 230,
        not_examined=screened.not_examined * 1000,
    )
    text = alice.get(f"/admin/subjects/{desk_house.add(screened)}").text
    assert "Findings (230)" in text
    assert "And 30 more." in text
    assert "Not examined (1000)" in text
    assert "And 800 more." in text


def test_a_release_and_a_project_lead_to_their_files_and_back(desk_house: Desk, alice: Browser) -> None:
    file = desk_house.judged("family-thing")
    text = alice.get(f"/admin/subjects/{file}").text
    above = re.findall(r'<dt>Belongs to</dt><dd><a href="(\d+)">', text)
    assert len(above) >= 1
    for number in above:
        page = alice.get(f"/admin/subjects/{number}").text
        assert f'<a href="{file}">' in page
        assert "family_thing-1.0-py3-none-any.whl" in page


def test_a_subject_that_the_catalog_no_longer_holds_can_still_be_judged(desk_house: Desk, alice: Browser) -> None:
    screened = hostile()
    number = desk_house.add(
        replace(screened, subject=replace(screened.subject, source="local", name="gone-thing"))
    )
    text = alice.get(f"/admin/subjects/{number}").text
    assert "does not hold this file any more" in text
    assert 'value="remove"' in text
    assert 'value="restore"' not in text
    token = alice.get("/admin/").token
    seen = alice.post(f"/admin/subjects/{number}/decide", {"token": token, "action": "restore", "reason": "x"})
    assert seen.status == 409
    seen = alice.post(f"/admin/subjects/{number}/decide", {"token": token, "action": "remove", "reason": "x"})
    assert seen.status == 303
    assert "gone-thing" not in alice.get("/admin/").text


@pytest.mark.parametrize(
    "path",
    [
        "/admin/subjects/999999999",
        "/admin/subjects/0",
        "/admin/?page=0",
        "/admin/?page=x",
        "/admin/?page=99999",
        "/admin/audit?page=-1",
        "/admin/audit?page=%D9%A1",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(alice: Browser, path: str) -> None:
    seen = alice.get(path)
    assert seen.status == 404
    assert "<h1>This did not work</h1>" in seen.text


def test_a_page_behind_the_last_is_empty_and_leads_back(alice: Browser) -> None:
    assert "There is nothing on this page." in alice.get("/admin/audit?page=5000").text


def test_long_lists_have_pages(desk_house: Desk, alice: Browser) -> None:
    screened = hostile()
    for number in range(51):
        subject = Subject(source="local", kind=Kind.PROJECT, name=f"many-{number:02}")
        desk_house.add(replace(screened, subject=subject, verdicts=(), findings=()))
    first = alice.get("/admin/").text
    assert 'rel="next"' in first
    assert 'rel="prev"' not in first
    assert first.count("<tr") == 51
    second = alice.get("/admin/?page=2").text
    assert 'rel="prev"' in second


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text,\n\ttwo lines", "plain text,\n\ttwo lines"),
        ("naïve 日本語 Ελλάδα עברית", "naïve 日本語 Ελλάδα עברית"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("\x00\x1b\x7f\x85\r", "⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩⟨U+0085⟩⟨U+000D⟩"),
        ("\u200b\u200d\ufeff\u00ad", "⟨U+200B⟩⟨U+200D⟩⟨U+FEFF⟩⟨U+00AD⟩"),
        ("\u00a0\u3000", "⟨U+00A0⟩⟨U+3000⟩"),
        ("\u2028\u2029", "⟨U+2028⟩⟨U+2029⟩"),
        ("\u3164\u2800\U000e0100", "⟨U+3164⟩⟨U+2800⟩⟨U+E0100⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + "⟨U+0301⟩" * 2),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_project_that_does_not_wait_is_found_by_any_spelling_of_its_name(
    desk_house: Desk, alice: Browser
) -> None:
    desk_house.judged("quiet-thing")
    seen = alice.get("/admin/find?name=+Quiet.Thing+")
    assert seen.status == 303
    number = seen.headers["Location"].rpartition("/")[2]
    assert "quiet-thing" in alice.get(f"/admin/subjects/{number}").text
    for name in ("nobody", "", "%3Cscript%3E", "x" * 400):
        assert alice.get(f"/admin/find?name={name}").status in (400, 404)


def test_work_that_failed_for_good_is_counted_on_the_desk_and_has_a_page(desk_house: Desk, alice: Browser) -> None:
    assert "failed for good" not in alice.get("/admin/").text
    file = desk_house.house.wheel().file
    with desk_house.house.gatehouse.database.write() as transaction:
        now = desk_house.house.gatehouse.clock.now()
        *_, number = transaction.outbox.due(["screen-file"], limit=100, now=now)
        transaction.outbox.fail(number, "StoreError: <b>the disk</b> is full", retry_at=None)
    assert "Work that failed for good: 1" in alice.get("/admin/").text
    page = alice.get("/admin/outbox").text
    assert file.filename in page
    assert "&lt;b&gt;the disk" in page
    assert desk_house.browser().get("/admin/outbox").status == 303


def test_a_finding_that_a_person_let_through_before_says_so(desk_house: Desk, alice: Browser) -> None:
    desk_house.house.judge.contents["settled_thing-1.0-py3-none-any.whl"] = "ab" * 32
    number = desk_house.judged("settled-thing")
    words = "A person let the same through before"
    assert words not in alice.get(f"/admin/subjects/{number}").text
    assert decide(alice, number, "let-through") == 303
    assert words in alice.get(f"/admin/subjects/{number}").text
