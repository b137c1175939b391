"""The laws that a repository must keep: what it serves, each client that meets it can take.

A law has a name, a sentence, its cases, and a play for each. The cases of most are (holder, i, j): a client that
is new or rested at an earlier state begins at state i and is moved on to state j. Where the repository owes a
client nothing any more (its session is older than the grace), a refusal is allowed if a retry heals it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gatehouse.conformance.bench import Bench
from gatehouse.conformance.cases import NEW_CLIENT, Case, Meetings, reach
from gatehouse.conformance.play import cut, drift, serve, stale, swept, switch
from gatehouse.conformance.recording import is_written_once
from gatehouse.conformance.report import Tally

#: How many states a repository moves on between two requests of one session, in the law of many switches.
_STRIDES = (1, 2, 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """A law: its cases in a recording, and how one of them is tried. `play` writes into the tally."""

    name: str
    sentence: str
    cases: Callable[[Bench], Sequence[Case]]
    play: Callable[[Bench, Tally, Case], None]


# --- the cases ---------------------------------------------------------------------------------------------------


def states(bench: Bench) -> Sequence[Case]:
    """Each state, met by a new client."""
    return [(NEW_CLIENT, number, number) for number in range(len(bench.recording.states))]


def returns(bench: Bench) -> Sequence[Case]:
    """A client that rested at a state, and each state from there on."""
    return Meetings(_all(bench), still=True, rested=False)


def seen_again(bench: Bench) -> Sequence[Case]:
    """The same, for states that were seen a second time."""
    return [case for case in returns(bench) if bench.state(case[2]).until is not None]


def moves(bench: Bench) -> Sequence[Case]:
    """Every client, and every two states in order."""
    return Meetings(_all(bench))


def near_moves(bench: Bench) -> Sequence[Case]:
    """The same, as long as the second state comes within the grace."""
    return Meetings(reach(len(bench.recording.states), bench.near))


def _all(bench: Bench) -> list[int]:
    count = len(bench.recording.states)
    return [count - 1] * count


# --- the plays ---------------------------------------------------------------------------------------------------


def _written_once(bench: Bench, tally: Tally, case: Case) -> None:
    tally.plays += 1
    state, where = bench.state(case[1]), bench.called(case[1])
    for name, digest in state.files.items():
        if is_written_once(name) and bench.first_seen.get(name, digest) != digest:
            tally.fail(f"{where}, {name}", "its bytes changed, and caches keep the old ones")
    timestamp = bench.reader.timestamp(state)
    if timestamp is not None and bench.first_timestamps[timestamp.version] != timestamp:
        # Some clients hold the one and some the other, and none of them ever hears of it.
        tally.fail(where, f"timestamp {timestamp.version} was signed twice, with different content")
    if not bench.agrees(state):
        tally.fail(where, "the same timestamp is expected to mean other targets than before")


def _whole(bench: Bench, tally: Tally, case: Case) -> None:
    tally.plays += 1
    for fault in bench.reader.missing(bench.state(case[1])):
        tally.fail(f"{bench.called(case[1])}, {fault.role}", fault.reason)


def _fresh(bench: Bench, tally: Tally, case: Case) -> None:
    _met(bench, tally, NEW_CLIENT, case[1])


def _resting(bench: Bench, tally: Tally, case: Case) -> None:
    _met(bench, tally, case[1], case[2])


def _met(bench: Bench, tally: Tally, holder: int, at: int) -> None:
    where = f"{bench.who(holder)} met {bench.called(at)}"
    bench.judge(tally, bench.meet(bench.held(holder), at), where, must=bench.owed(at), at=at)


def _lasting(bench: Bench, tally: Tally, case: Case) -> None:
    _, before, at = case
    state = bench.state(at)
    for holder in (NEW_CLIENT, before):
        outcome = bench.play(bench.held(holder), serve(state), state.until or state.moment)
        where = f"{bench.who(holder)} met {bench.called(at)} when it was last seen, {state.until}"
        bench.judge(tally, outcome, where, must=bench.owed(at), at=at)


def _following(bench: Bench, tally: Tally, case: Case) -> None:
    _, begun, _ = case
    held = bench.rested[begun]
    for at in range(begun + 1, len(bench.recording.states)):
        outcome = bench.meet(held, at)
        held = outcome.held
        where = f"a client that took every state from {begun} on met {bench.called(at)}"
        bench.judge(tally, outcome, where, must=bench.owed(at), at=at)


def _switch(bench: Bench, tally: Tally, case: Case) -> None:
    holder, begun, after = case
    first, second, held = bench.state(begun), bench.state(after), bench.held(holder)
    who = f"{bench.who(holder)} began at {bench.called(begun)} and met {bench.called(after)}"
    must = bench.near(begun, after) and bench.owed(begun, after)
    for request in range(1, len(bench.meet(held, begun).asked)):
        outcome = bench.play(held, switch(first, second, request), first.moment)
        where = f"{who} from request {request} on"
        bench.judge(tally, outcome, where, must=must, at=after, began=begun)


def _drift(bench: Bench, tally: Tally, case: Case) -> None:
    holder, begun, after = case
    ahead = bench.recording.states[begun : after + 1]
    who = (
        f"{bench.who(holder)} began at {bench.called(begun)}; up to {bench.called(after)}, the repository moved on"
    )
    must = bench.owed(*range(begun, after + 1))
    for stride in _STRIDES:
        outcome = bench.play(bench.held(holder), drift(ahead, stride), ahead[0].moment)
        where = f"{who} by {stride} before each request"
        bench.judge(tally, outcome, where, must=must, at=after, began=begun)


def _interrupted(bench: Bench, tally: Tally, case: Case) -> None:
    holder, begun, after = case
    first = bench.state(begun)
    who = f"{bench.who(holder)} was cut off at {bench.called(begun)} and met {bench.called(after)}"
    tried = set()
    for request in range(1, len(bench.meet(bench.held(holder), begun).asked)):
        held = bench.play(bench.held(holder), cut(serve(first), request), first.moment).held
        if held not in tried:
            tried.add(held)
            where = f"{who}; it had made {request} requests"
            bench.judge(tally, bench.meet(held, after), where, must=bench.owed(after), at=after)


def _behind(*, root: bool, timestamp: bool) -> Callable[[Bench, Tally, Case], None]:
    def play(bench: Bench, tally: Tally, case: Case) -> None:
        holder, before, after = case
        first, second = bench.state(before), bench.state(after)
        script = stale(first, second, root=root, timestamp=timestamp)
        outcome = bench.play(bench.held(holder), script, second.moment)
        where = f"{bench.who(holder)} met {bench.called(after)} behind a cache as of {bench.called(before)}"
        bench.judge(tally, outcome, where, must=bench.owed(before, after), at=after, began=before)

    return play


def _swept(bench: Bench, tally: Tally, case: Case) -> None:
    holder, begun, after = case
    held, first, second = bench.held(holder), bench.state(begun), bench.state(after)
    live = bench.reader.live(second)
    who = f"{bench.who(holder)} began at {bench.called(begun)}; nothing but {bench.called(after)} was left"
    for request in range(len(bench.meet(held, begun).asked)):
        now = first.moment if request else second.moment
        outcome = bench.play(held, swept(first, live, request), now)
        must = request == 0 and bench.owed(after)
        where = f"{who} from request {request} on"
        bench.judge(tally, outcome, where, must=must, at=after, began=begun)


LAWS = (
    Law(
        name="written-once",
        sentence="A name that carries a version or a digest always means the same bytes.",
        cases=states,
        play=_written_once,
    ),
    Law(
        name="whole",
        sentence="Every role that a delegation reaches is served, in the version that is listed, rightly signed.",
        cases=lambda bench: states(bench) if bench.recording.complete else (),
        play=_whole,
    ),
    Law(name="fresh", sentence="A new client takes every state.", cases=states, play=_fresh),
    Law(
        name="lasting",
        sentence="A state can be taken for as long as it is served.",
        cases=seen_again,
        play=_lasting,
    ),
    Law(
        name="resting",
        sentence="A client that holds any earlier state takes every later one.",
        cases=returns,
        play=_resting,
    ),
    Law(
        name="following",
        sentence="A client that takes every state, one after the other, takes the next.",
        cases=states,
        play=_following,
    ),
    Law(
        name="switch",
        sentence="The repository may move on between any two requests of a session.",
        cases=moves,
        play=_switch,
    ),
    Law(
        name="drift",
        sentence="It may move on before each request of a session.",
        cases=near_moves,
        play=_drift,
    ),
    Law(
        name="interrupted",
        sentence="A client that was cut off between any two requests takes every later state.",
        cases=moves,
        play=_interrupted,
    ),
    Law(
        name="stale-root",
        sentence="A cache may answer for the next root as it was a grace ago.",
        cases=near_moves,
        play=_behind(root=True, timestamp=False),
    ),
    Law(
        name="stale-timestamp",
        sentence="A cache may answer with the timestamp of a grace ago.",
        cases=near_moves,
        play=_behind(root=False, timestamp=True),
    ),
    Law(
        name="stale-both",
        sentence="It may do both.",
        cases=near_moves,
        play=_behind(root=True, timestamp=True),
    ),
    Law(
        name="swept",
        sentence="Clean-up of all but the newest state costs nobody more than a retry, and only within a session.",
        cases=moves,
        play=_swept,
    ),
)
