"""When a role is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.tuf.model import OnlineRole
from gatehouse.tuf.roles import Lifetimes, due_until, is_due, renew_after

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
