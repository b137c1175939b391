"""Where the laws are tried: clients that rested at each state, and the verdict on how a session ended."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from tuf.api.metadata import Timestamp

from gatehouse.conformance.cases import NEW_CLIENT
from gatehouse.conformance.client import NEW, Held, Outcome, Script
from gatehouse.conformance.play import Player, serve
from gatehouse.conformance.reading import Reader, versions
from gatehouse.conformance.recording import TARGETS, TIMESTAMP, Expected, Recording, State
from gatehouse.conformance.report import Tally

HEALS = "heals"


@dataclass(kw_only=True)
class Bench:
    """A recording on the bench.

    Attributes:
        recording: what is tried.
        player: plays it.
        grace: what a repository owes to a client whose session began so long ago, or whose cache is so old: the
            longest life of an answer in a cache plus the longest session.
        heals: the tally of the clients that came back at the end.
    """

    recording: Recording
    player: Player
    grace: timedelta
    heals: Tally
    reader: Reader = field(init=False)
    rested: tuple[Held, ...] = field(init=False)
    _asked: set[Hashable] = field(default_factory=set, init=False)
    _expected: Mapping[str, Mapping[str, Expected | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(objects=self.recording.objects)
        self.rested = tuple(
            self.player.play(NEW, serve(state), state.moment).held for state in self.recording.states
        )
        expected: dict[str, Mapping[str, Expected | None]] = {}
        for state in self.recording.states:
            if TIMESTAMP in state.files:
                expected.setdefault(state.files[TIMESTAMP], state.expected)
        self._expected = expected

    @cached_property
    def first_seen(self) -> Mapping[str, str]:
        """What each name meant when it was first served."""
        seen: dict[str, str] = {}
        for state in self.recording.states:
            for name, digest in state.files.items():
                seen.setdefault(name, digest)
        return seen

    @cached_property
    def first_timestamps(self) -> Mapping[int, Timestamp]:
        """The timestamp that was first served of each version."""
        seen: dict[int, Timestamp] = {}
        for state in self.recording.states:
            timestamp = self.reader.timestamp(state)
            if timestamp is not None:
                seen.setdefault(timestamp.version, timestamp)
        return seen

    @cached_property
    def versions(self) -> Mapping[str, Mapping[int, str]]:
        """Every versioned role of the recording: its files by version."""
        return versions(self.first_seen)

    # --- words and figures ---------------------------------------------------------------------------------------

    def state(self, number: int) -> State:
        """A state by its number."""
        return self.recording.states[number]

    def called(self, number: int) -> str:
        """A state in words."""
        return f"state {number} ({self.state(number).label})"

    def held(self, holder: int) -> Held:
        """What a holder remembers."""
        return NEW if holder == NEW_CLIENT else self.rested[holder]

    def who(self, holder: int) -> str:
        """A holder in words."""
        return "a new client" if holder == NEW_CLIENT else f"a client that rested at {self.called(holder)}"

    def near(self, before: int, after: int) -> bool:
        """Whether a session that began at one state may still be under way at another."""
        return self.state(after).moment - self.state(before).moment <= self.grace

    def owed(self, *states: int) -> bool:
        """Whether these states must be taken: none of them had lapsed."""
        return not any(self.state(number).lapsed for number in states)

    def agrees(self, state: State) -> bool:
        """Whether a state is expected to hold the targets that its timestamp was first expected to mean."""
        first = self._expected.get(state.files.get(TIMESTAMP, ""), state.expected)
        return all(_listed(first.get(path)) == _listed(expected) for path, expected in state.expected.items())

    def first_time(self, what: Hashable) -> bool:
        """Whether this is asked about for the first time."""
        known = what in self._asked
        self._asked.add(what)
        return not known

    # --- playing -------------------------------------------------------------------------------------------------

    def play(self, held: Held, script: Script, now: datetime) -> Outcome:
        """How a session ends."""
        return self.player.play(held, script, now)

    def meet(self, held: Held, number: int) -> Outcome:
        """A session of a client with one state that does not change."""
        state = self.state(number)
        return self.play(held, serve(state), state.moment)

    # --- judging -------------------------------------------------------------------------------------------------

    def judge(self, tally: Tally, outcome: Outcome, where: str, *, must: bool, at: int, began: int = -1) -> None:
        """Say whether a session ended as the law demands, and whether its client finds its way back.

        Args:
            tally: the law's.
            outcome: how it ended.
            where: the case in words.
            must: the client must have succeeded; otherwise it may have been refused, if a retry heals that.
            at: the state that was served last.
            began: the state at which the session began, if it was another.
        """
        tally.plays += 1
        problem = self._wrong(outcome)
        if outcome.fault is not None and not outcome.broke:
            withdrawn = self._withdrawn(outcome, at) or self._withdrawn(outcome, began)
            if must and not withdrawn:
                problem = outcome.fault
            else:
                problem = None if withdrawn else self._retry(outcome, at)
                tally.transient += problem is None
        if problem is not None:
            tally.fail(where, self._said(problem, outcome))
        self.heal(outcome, where)

    def refused(self, tally: Tally, outcome: Outcome, where: str) -> None:
        """The same for what a client must refuse."""
        tally.plays += 1
        if outcome.fault is None:
            tally.fail(where, "the client took it")
        elif outcome.broke:
            tally.fail(where, self._said(outcome.fault, outcome))
        self.heal(outcome, where)

    def heal(self, outcome: Outcome, where: str) -> None:
        """Whatever happened to a client: it must take the newest state, or it is locked out."""
        newest = len(self.recording.states) - 1
        if not self.owed(newest):
            return
        self.heals.plays += 1
        self.heals.cases += 1
        self.heals.tried += 1
        again = self.meet(outcome.held, newest)
        problem = self._wrong(again) or again.fault
        if problem is not None:
            self.heals.fail(f"{where}; back at {self.called(newest)}", self._said(problem, again))

    def _retry(self, outcome: Outcome, at: int) -> str | None:
        if not self.owed(at):
            return None
        again = self.meet(outcome.held, at)
        if again.fault is None or self._withdrawn(again, at):
            return self._wrong(again)
        return f"{outcome.fault}; and its retry: {again.fault}"

    def _wrong(self, outcome: Outcome) -> str | None:
        """What is wrong with what a client found, or that it fell over; None if nothing is."""
        if outcome.broke:
            return f"the client fell over: {outcome.fault}"
        if outcome.fault is not None:
            return None
        timestamps = [asked.answer for asked in outcome.asked if asked.name == TIMESTAMP]
        expected = self._expected.get(timestamps[-1] or "") if timestamps else None
        if expected is None:
            return "the client was content without a timestamp of this recording"
        for path, wanted in expected.items():
            found = outcome.found.get(path)
            if _listed(found) != _listed(wanted):
                return f"it found {_told(found)} at {path}, and {_told(wanted)} was published"
        return None

    def _withdrawn(self, outcome: Outcome, at: int) -> bool:
        """Whether a session ended at the content of a target that was taken back, by the state that was served."""
        if at < 0 or not outcome.asked:
            return False
        last, state = outcome.asked[-1], self.state(at)
        if not last.name.startswith(TARGETS) or last.answer is not None:
            return False
        folder, _, name = last.name.removeprefix(TARGETS).rpartition("/")
        plain = f"{folder}/{name.partition('.')[2]}" if folder else name.partition(".")[2]
        return any(
            path in state.withdrawn or (path in state.expected and state.expected[path] is None)
            for path in (plain, last.name.removeprefix(TARGETS))
        )

    def _said(self, problem: str, outcome: Outcome) -> str:
        if outcome.fault is None or not outcome.asked:
            return problem
        return f"request {len(outcome.asked) - 1}, {outcome.asked[-1].name}: {problem}"


def _listed(expected: Expected | None) -> tuple[object, ...] | None:
    return None if expected is None else (expected.hashes, expected.length)


def _told(expected: Expected | None) -> str:
    if expected is None:
        return "no target"
    digests = ", ".join(f"{name} {digest[:12]}…" for name, digest in expected.hashes)
    return f"{expected.length} bytes with {digests}"
