"""When a role is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.roles import (
    JITTER,
    RENEW_AT,
    Lifetimes,
    Urgency,
    catch_up_at,
    due_until,
    is_due,
    jittered,
    offline_urgency,
    online_urgency,
    renew_after,
)

END = datetime(2030, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ROLE = OnlineRole(name="timestamp", version=1, expires=END, signatures=(), sha256="", length=0)


def test_a_role_is_due_when_most_of_its_life_is_over() -> None:
    moment = renew_after(END, DAY, 0.75)

    assert moment == END - timedelta(hours=6)
    assert due_until(DAY, moment, 0.75) == END
    assert not is_due(ROLE, DAY, moment - SECOND, 0.75)
    assert is_due(ROLE, DAY, moment, 0.75)
    assert is_due(ROLE, DAY, END + DAY, 0.75)


def test_a_role_that_lives_as_long_as_what_it_rests_on_is_not_due() -> None:
    assert not is_due(ROLE, DAY, END - SECOND, not_after=END)
    assert is_due(ROLE, DAY, END - SECOND, not_after=END + SECOND)


def test_a_clock_that_went_back_makes_nothing_due() -> None:
    assert not is_due(ROLE, DAY, END - 10 * DAY)


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), -DAY, timedelta(milliseconds=1500), timedelta(milliseconds=500)]
)
def test_a_lifetime_that_is_not_some_whole_seconds_is_refused_by_name(lifetime: timedelta) -> None:
    with pytest.raises(OperatorError, match="lifetime of bin_n"):
        Lifetimes(bin_n=lifetime)


def test_the_defaults_are_those_of_pep_458() -> None:
    lifetimes = Lifetimes()

    assert {lifetimes.root, lifetimes.targets, lifetimes.bins, lifetimes.audit} == {timedelta(days=365)}
    assert {lifetimes.timestamp, lifetimes.snapshot, lifetimes.bin_n} == {DAY}


def test_bins_that_are_born_together_live_for_different_times_and_always_the_same() -> None:
    lives = [jittered(DAY, f"files-bin-{number:03x}") for number in range(500)]

    assert lives == [jittered(DAY, f"files-bin-{number:03x}") for number in range(500)]
    assert DAY * (1 - JITTER) <= min(lives) < DAY * 0.905
    assert DAY * 0.995 < max(lives) <= DAY
    assert all(life.microseconds == 0 for life in lives)
    assert jittered(timedelta(seconds=1), "files-bin-0") == timedelta(seconds=1)


@pytest.mark.parametrize("life", [timedelta(seconds=10), timedelta(hours=1), DAY, 7 * DAY, 365 * DAY])
def test_what_waits_for_company_waits_an_hour_at_most_and_never_until_its_end_is_near(life: timedelta) -> None:
    for part in range(50):
        end = END + life * part / 50
        moment = catch_up_at(end, life)

        assert timedelta(0) <= moment - renew_after(end, life) < max(timedelta(seconds=1), timedelta(hours=1))
        assert online_urgency(end, life, moment) is None
        assert moment < renew_after(end, life, RENEW_AT + 0.05)


def test_bins_that_end_within_an_hour_are_renewed_at_one_moment() -> None:
    ends = [END + timedelta(minutes=number) for number in range(60)]

    assert len({catch_up_at(end, DAY) for end in ends}) == 2


def test_warnings_rise_before_an_online_role_ends() -> None:
    def at(gone: float) -> Urgency | None:
        return online_urgency(END, DAY, END - DAY * (1 - gone))

    assert [at(gone) for gone in (0.0, 0.8999, 0.9, 0.9499, 0.95, 0.9799, 0.98, 1.0, 2.0)] == [
        None,
        None,
        Urgency.NOTICE,
        Urgency.NOTICE,
        Urgency.WARNING,
        Urgency.WARNING,
        Urgency.CRITICAL,
        Urgency.CRITICAL,
        Urgency.CRITICAL,
    ]


def test_warnings_rise_weeks_before_an_offline_role_ends() -> None:
    found = [offline_urgency(END, END - days * DAY) for days in (365, 61, 60, 22, 21, 8, 7, 0, -1)]

    assert [level and level.word for level in found] == [
        None,
        None,
        "notice",
        "notice",
        "warning",
        "warning",
        "critical",
        "critical",
        "critical",
    ]
