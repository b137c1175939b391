"""Moderators read where checks stand and what they are worth; nobody moves one from a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatehouse.gate.baseline import file_subject
from gatehouse.gate.ports import Action
from gatehouse.malware.lifecycle import Standing, State, StateChange
from gatehouse.malware.model import Tier
from tests.support.desk import HOSTILE, Desk, desk

NAME = "startup-execution"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "home") as found:
        found.house.gatehouse.lifecycle.sync()
        yield found


def demoted(opened: Desk, reason: str = "Demoted from enabled up to hold: it was wrong.") -> None:
    with opened.house.gatehouse.database.write() as tx:
        tx.checks.append(
            StateChange(
                check=NAME,
                version="1",
                number=2,
                standing=Standing(state=State.ENABLED, tier=Tier.ALERT),
                actor="system",
                at=opened.clock.now(),
                reason=reason,
            )
        )


@pytest.mark.parametrize("path", ["/admin/checks", f"/admin/checks/{NAME}"])
def test_who_is_not_logged_in_is_led_to_the_log_in_and_back(opened: Desk, path: str) -> None:
    seen = opened.browser().get(path)
    assert seen.status == 303
    onward = path.removeprefix("/admin/").replace("/", "%2F")
    assert seen.headers["Location"].endswith(f"admin/login?next={onward}")


def test_the_list_shows_every_check_with_its_standing(opened: Desk) -> None:
    opened.house.gatehouse.lifecycle.move(
        NAME, Standing(state=State.SHADOW), actor="alice", reason="too loud tonight"
    )
    text = opened.alice().get("/admin/checks").text
    assert NAME in text
    assert "shadow" in text
    assert text.count("enabled up to hold") >= 3


def test_a_checks_page_tells_its_life_its_worth_and_its_runs(opened: Desk) -> None:
    number = opened.judged("bad")
    subject = file_subject(opened.house.file("bad-1.0-py3-none-any.whl"))
    opened.house.gatehouse.decide(actor="alice", subject=subject, action=Action.REMOVE, reason="bad")
    demoted(opened)
    text = opened.alice().get(f"/admin/checks/{NAME}").text
    assert number
    assert "Demoted from enabled up to hold: it was wrong." in text
    assert "It came with this index" in text
    assert "0 true, 0 false, 0 unsure, 0 open" in text
    assert "gatehouse checks state" in text


def test_what_stands_there_is_shown_as_text_and_never_obeyed(opened: Desk) -> None:
    demoted(opened, HOSTILE)
    for path in ("/admin/", "/admin/checks", f"/admin/checks/{NAME}"):
        text = opened.alice().get(path).text
        assert "<script>alert" not in text
        assert "{{ 7*7 }}" in text
        assert "\u202e" not in text


def test_a_demotion_stands_on_the_desk(opened: Desk) -> None:
    assert "Demoted" not in opened.alice().get("/admin/").text
    demoted(opened)
    assert "Demoted" in opened.alice().get("/admin/").text
    opened.house.gatehouse.lifecycle.move(
        NAME, Standing(state=State.ENABLED, tier=Tier.HOLD), actor="alice", reason="I have looked at it"
    )
    assert "Demoted" not in opened.alice().get("/admin/").text


def test_nothing_is_moved_from_a_browser(opened: Desk) -> None:
    alice = opened.alice()
    assert alice.post(f"/admin/checks/{NAME}", {"state": "retired"}).status == 405
    assert alice.get("/admin/checks/nobody").status == 404
    assert alice.get("/admin/checks/..%2f").status == 404


def test_no_check_enabled_is_said_on_the_page_and_by_readiness(opened: Desk) -> None:
    lifecycle = opened.house.gatehouse.lifecycle
    for check in lifecycle.registry().all():
        lifecycle.move(check.name, Standing(state=State.RETIRED), actor="alice", reason="a test")
    assert "No check that reads files is enabled" in opened.alice().get("/admin/checks").text


def test_states_and_runs_are_metrics(opened: Desk) -> None:
    opened.house.gatehouse.lifecycle.move(NAME, Standing(state=State.SHADOW), actor="alice", reason="x")
    text = opened.browser().get("/metrics").text
    assert 'gatehouse_checks{state="shadow"} 1.0' in text
    assert 'gatehouse_check_runs{state="running"} 0.0' in text
