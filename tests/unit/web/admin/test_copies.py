"""Near-copies at the desk: who they are, and one decision on those that a person chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.desk import PAGE
from gatehouse.malware.model import Kind, Subject, Tier
from tests.support.desk import Browser, Desk, desk, hostile

COPIES = ("copied-one", "copied-two", "copied-three")


@pytest.fixture
def desk_house(tmp_path: Path) -> Iterator[Desk]:
    """A desk for one test: a campaign is about which files there are."""
    with desk(tmp_path / "home") as ready:
        yield ready


def wheel(name: str) -> str:
    return f"{name.replace('-', '_')}-1.0-py3-none-any.whl"


@pytest.fixture
def campaign(desk_house: Desk) -> dict[str, int]:
    """The first file of a campaign, three more of it, and a stranger; their numbers as subjects."""
    fingerprints = desk_house.house.judge.fingerprints
    fingerprints |= {wheel("first-one"): (1, 2), wheel("a-stranger"): (9,)}
    fingerprints |= {wheel(name): (2, 7) for name in COPIES}
    return {name: desk_house.judged(name, Tier.QUEUE) for name in ("first-one", *COPIES, "a-stranger")}


def address(campaign: dict[str, int]) -> str:
    return f"/admin/subjects/{campaign['first-one']}/copies"


def send(browser: Browser, path: str, *numbers: int, action: str = "remove", reason: str = "one campaign") -> int:
    boxes = {f"file-{number}": "1" for number in numbers}
    fields = {"token": browser.get(path).token, "action": action, "reason": reason, **boxes}
    return browser.post(path, fields).status


def states(house: Desk) -> list[FileState]:
    return [house.house.file(wheel(name)).state for name in COPIES]


def test_a_file_leads_to_those_of_nearly_the_same_code_the_last_first(
    alice: Browser, campaign: dict[str, int]
) -> None:
    subject = alice.get(f"/admin/subjects/{campaign['first-one']}").text
    assert f'<a href="{campaign["first-one"]}/copies">Other files of nearly the same code: 3</a>' in subject
    text = alice.get(address(campaign)).text
    places = [text.index(f'<bdi class="name">{wheel(name)}</bdi>') for name in reversed(COPIES)]
    assert places == sorted(places)
    assert wheel("a-stranger") not in text


def test_one_decision_holds_for_those_chosen_and_for_no_other(
    desk_house: Desk, alice: Browser, campaign: dict[str, int]
) -> None:
    chosen = [campaign[name] for name in COPIES[:2]]
    assert send(alice, address(campaign), *chosen) == 303
    assert states(desk_house) == [FileState.REMOVED, FileState.REMOVED, FileState.PUBLISHED]
    assert desk_house.house.file(wheel("first-one")).state is FileState.PUBLISHED
    for number in chosen:
        assert "one campaign" in alice.get(f"/admin/subjects/{number}").text
    audit = alice.get("/admin/audit").text
    assert all(wheel(name) in audit for name in COPIES[:2])
    waiting = alice.get("/admin/").text
    assert wheel("copied-two") not in waiting
    assert wheel("copied-three") in waiting
    assert "people removed 2" in alice.get(address(campaign)).text


def test_it_is_all_of_them_or_none(desk_house: Desk, alice: Browser, campaign: dict[str, int]) -> None:
    assert send(alice, address(campaign), campaign["copied-two"]) == 303
    path = address(campaign)
    fields = {f"file-{campaign[name]}": "1" for name in COPIES}
    token = alice.get(path).token
    seen = alice.post(path, {"token": token, "action": "hold", "reason": "wait", **fields})
    assert seen.status == 409
    assert "Nothing was decided, because of copied_two-1.0-py3-none-any.whl" in seen.text
    assert states(desk_house) == [FileState.PUBLISHED, FileState.REMOVED, FileState.PUBLISHED]
    assert "wait" not in alice.get("/admin/audit").text.split("<tbody")[1]


@pytest.mark.parametrize(
    ("chosen", "action", "reason", "status"),
    [
        ("", "remove", "so", 400),
        ("copied-one", "burn", "so", 400),
        ("copied-one", "remove", "  ", 400),
        ("unknown", "remove", "so", 404),
    ],
)
def test_what_cannot_be_decided_is_refused(
    request: pytest.FixtureRequest, chosen: str, action: str, reason: str, status: int
) -> None:
    house: Desk = request.getfixturevalue("desk_house")
    campaign: dict[str, int] = request.getfixturevalue("campaign")
    numbers = [campaign.get(name, 999_999) for name in chosen.split()]
    assert send(house.alice(), address(campaign), *numbers, action=action, reason=reason) == status
    assert states(house) == [FileState.PUBLISHED] * 3


def test_a_project_or_release_is_not_decided_on_among_files(
    desk_house: Desk, alice: Browser, campaign: dict[str, int]
) -> None:
    file = file_subject(desk_house.house.file(wheel("copied-one")))
    with desk_house.house.gatehouse.database.read() as transaction:
        numbers = [transaction.screening.subject_id(each) for each in (file.project, file.release)]
    for number in filter(None, numbers):
        assert send(alice, address(campaign), campaign["copied-two"], number) == 400
    assert any(numbers)
    assert states(desk_house) == [FileState.PUBLISHED] * 3


def test_it_needs_the_page_s_own_token(desk_house: Desk, alice: Browser, campaign: dict[str, int]) -> None:
    box = f"file-{campaign['copied-one']}"
    fields = {"token": "0" * 64, "action": "remove", "reason": "no", box: "1"}
    assert alice.post(address(campaign), fields).status == 403
    assert desk_house.browser().post(address(campaign), fields).status == 303
    assert states(desk_house) == [FileState.PUBLISHED] * 3


def test_what_the_catalog_lost_is_shown_and_can_be_judged(
    desk_house: Desk, alice: Browser, campaign: dict[str, int]
) -> None:
    number = desk_house.add(hostile())
    with desk_house.house.gatehouse.database.write() as transaction:
        transaction.fingerprints.keep(hostile().subject, (1,))
    text = alice.get(address(campaign)).text
    assert "not in the catalog any more" in text
    assert "<script>" not in text
    assert "<img" not in text
    assert send(alice, address(campaign), number) == 303
    assert "removed 1" in alice.get(address(campaign)).text


def test_a_file_without_near_copies_says_so(alice: Browser, campaign: dict[str, int]) -> None:
    path = f"/admin/subjects/{campaign['a-stranger']}/copies"
    assert "There are none." in alice.get(path).text
    assert alice.get("/admin/subjects/999999/copies").status == 404
    assert alice.get(f"{path}?page=0").status == 404


def test_a_whole_page_can_be_chosen(desk_house: Desk, alice: Browser) -> None:
    numbers = []
    for count in range(PAGE + 2):
        subject = Subject(
            source="local",
            kind=Kind.FILE,
            name="many",
            version="1",
            filename=f"many-{count}.whl",
            sha256="ab" * 32,
        )
        numbers.append(desk_house.add(replace(hostile(), subject=subject)))
        with desk_house.house.gatehouse.database.write() as transaction:
            transaction.fingerprints.keep(subject, (5,))
    path = f"/admin/subjects/{numbers[0]}/copies"
    text = alice.get(path).text
    assert text.count('type="checkbox"') == PAGE
    assert 'href="?page=2"' in text
    assert alice.get(f"{path}?page=2").text.count('type="checkbox"') == 1
    assert send(alice, path, *numbers[2:]) == 303
