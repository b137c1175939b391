"""What the overview warns of, before anything expires."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.tuf.roles import Urgency
from tests.support.house import HandClock, house

DAY = timedelta(days=1)


def test_all_is_well_after_a_publication(tmp_path: Path) -> None:
    with house(tmp_path / "home", clock=HandClock()) as home:
        overview = home.gatehouse.health.overview()
        assert overview.warnings == ()
        assert [(role.name, role.count) for role in overview.roles[6:]] == [
            ("simple-bin-n", 2),
            ("files-bin-n", 2),
            ("snapshot", 1),
            ("timestamp", 1),
        ]
        assert overview.snapshot_version == 1


@pytest.mark.parametrize(
    ("after", "level"),
    [(DAY * 0.91, Urgency.NOTICE), (DAY * 0.96, Urgency.WARNING), (DAY * 0.985, Urgency.CRITICAL)],
)
def test_online_roles_that_nobody_renews_are_warned_of_in_three_steps(
    tmp_path: Path, after: timedelta, level: Urgency
) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        clock.advance(after)
        warnings = home.gatehouse.health.overview().warnings
        levels = {warning.role: warning.level for warning in warnings}
        assert (levels["timestamp"], levels["snapshot"]) == (level, level)
        assert levels["files-bin-n"] >= level, "the first of the bins ends earlier"
        assert [warning.level for warning in warnings] == sorted((w.level for w in warnings), reverse=True)
        message = next(warning.message for warning in warnings if warning.role == "timestamp")
        assert message == (
            "The renewal of timestamp, which ends at 2026-05-02 12:00 UTC, is overdue: is a publisher at work?"
        )
        while home.publisher.publish() is not None:
            pass
        assert home.gatehouse.health.overview().warnings == ()


def test_what_has_ended_is_said_to_have_ended(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        clock.advance(2 * DAY)
        warnings = home.gatehouse.health.overview().warnings
        assert {warning.level for warning in warnings} == {Urgency.CRITICAL}
        assert all("ended at 2026-05-0" in warning.message for warning in warnings)


@pytest.mark.parametrize(
    ("left", "level", "end"),
    [
        (61, None, ""),
        (59, Urgency.NOTICE, "must sign a new version."),
        (20, Urgency.WARNING, "must sign a new version."),
        (6, Urgency.CRITICAL, "must sign a new version now."),
    ],
)
def test_offline_roles_are_warned_of_weeks_before_and_hide_what_rests_on_them(
    tmp_path: Path, left: int, level: Urgency | None, end: str
) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        clock.advance((365 - left) * DAY)
        home.publish()
        warnings = home.gatehouse.health.overview().warnings
        offline = {"root", "targets", "audit", "bins", "simple-bins", "files-bins"}
        assert {warning.role for warning in warnings} == (set() if level is None else offline)
        assert {warning.level for warning in warnings} <= {level}
        assert all(warning.message.endswith(f"UTC: the key holders {end}") for warning in warnings)
        # The last day: what is online ends with what it rests on, and no publisher can help it.
        clock.advance((left - 0.01) * DAY)
        home.publish()
        assert {warning.role for warning in home.gatehouse.health.overview().warnings} == offline
