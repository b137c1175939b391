"""Sessions are looked up where they were played before, and end exactly as if they had been played."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.conformance.cases import Case, Meetings, drawn, reach
from gatehouse.conformance.client import NEW, Held
from gatehouse.conformance.play import Player, drift, serve, stale, switch
from gatehouse.conformance.recording import Recording
from tests.support.synthetic import PATHS, Synthetic


@pytest.fixture(scope="module")
def recording() -> Recording:
    made = Synthetic(online="AB", life=timedelta(days=1))
    made.put(PATHS[0])
    made.sign_bins("A")
    made.announce("A")
    made.wait(timedelta(hours=23))
    made.sign_bins("B")
    made.root("B")
    made.announce("B")
    made.wait(timedelta(hours=2))
    made.put(PATHS[0], 2)
    made.sign_bins("B", ["bin-0"])
    made.announce("B")
    return made.recording()


@pytest.fixture
def player(recording: Recording, tmp_path: Path) -> Player:
    folder = tmp_path / "player"
    folder.mkdir()
    return Player(recording, folder)


def test_a_session_that_was_played_is_looked_up(recording: Recording, player: Player) -> None:
    first = recording.states[0]
    played = player.play(NEW, serve(first), first.moment)
    assert (played.fault, player.ran) == (None, 1)

    assert player.play(NEW, serve(first), first.moment + timedelta(seconds=1)) == played
    # Files that appear and that nobody asks for change nothing.
    assert player.play(NEW, serve(recording.states[1]), first.moment) == played
    assert player.ran == 1


def test_the_moment_counts_where_something_expires_in_between(recording: Recording, player: Player) -> None:
    first = recording.states[0]
    assert player.play(NEW, serve(first), first.moment).fault is None
    expired = player.play(NEW, serve(first), first.moment + timedelta(days=1))
    assert expired.fault == "ExpiredMetadataError: timestamp.json is expired"
    assert player.ran == 2


def test_looking_up_and_playing_agree(recording: Recording, tmp_path: Path) -> None:
    """Whatever the order in which sessions come: one player that knows much says what a new one says."""
    chance = random.Random(11)  # noqa: S311 -- a repeatable choice
    (tmp_path / "wise").mkdir()
    wise = Player(recording, tmp_path / "wise")
    states = recording.states
    holders: list[Held] = [NEW]
    for number in range(120):
        before, after = sorted(chance.sample(range(len(states)), 2))
        script = chance.choice(
            [
                serve(states[after]),
                switch(states[before], states[after], chance.randrange(6)),
                drift(states[before:], chance.randrange(1, 4)),
                stale(states[before], states[after], root=chance.random() < 0.5, timestamp=chance.random() < 0.5),
            ]
        )
        held, now = chance.choice(holders), states[before].moment
        known = wise.play(held, script, now)
        holders.append(known.held)
        if number % 4 == 0:
            folder = tmp_path / str(number)
            folder.mkdir()
            # What a client holds may come from a session of the other player; the objects are the recording's.
            assert Player(recording, folder).play(held, script, now) == known
    assert wise.ran < 120


def test_every_meeting_is_counted_once(recording: Recording) -> None:
    assert recording.states
    for last, still, rested in itertools.product(
        ([], [0], [3, 3, 3, 3], [1, 1, 3, 3, 4]), (True, False), (True, False)
    ):
        meetings = Meetings(last, still=still, rested=rested)
        assert list(meetings) == list(_meetings(last, still=still, rested=rested))
        assert len(list(meetings)) == len(meetings)


def _meetings(last: list[int], *, still: bool, rested: bool) -> Iterator[Case]:
    for begun, end in enumerate(last):
        for holder in range(-1, begun + 1 if rested else 0):
            for after in range(begun + (not still), end + 1):
                yield holder, begun, after


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    cases = Meetings([29] * 30)
    first = list(drawn(cases, 40, 7, "switch"))
    assert len(set(first)) == 40
    assert list(drawn(cases, 40, 7, "switch")) == first
    assert list(drawn(cases, 40, 8, "switch")) != first
    assert list(drawn(cases, len(cases), 7, "switch")) == list(cases)


def test_reach_ends_where_states_are_too_far_apart() -> None:
    moments = [0, 1, 2, 10, 11, 30]
    assert reach(len(moments), lambda one, other: moments[other] - moments[one] <= 9) == [2, 3, 4, 4, 4, 5]
