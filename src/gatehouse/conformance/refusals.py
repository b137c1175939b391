"""What a client must refuse, or the suite would prove nothing: replays, alterations, older files, a frozen clock.

These laws speak of the judge as much as of the repository. A repository whose timestamps never expire, or that
lets an old file pass for a new one, breaks them.
"""

from __future__ import annotations

import json
from typing import Final

from gatehouse.conformance.bench import Bench
from gatehouse.conformance.cases import NEW_CLIENT, Case
from gatehouse.conformance.client import NEW, Asked, Script
from gatehouse.conformance.laws import Law, returns, states
from gatehouse.conformance.play import serve, stale
from gatehouse.conformance.recording import METADATA, TIMESTAMP, State
from gatehouse.conformance.report import Tally
from gatehouse.core.digests import sha256_hex

_LATER_EXPIRY: Final = "9999-12-31T23:59:59Z"


def _replayed(bench: Bench, tally: Tally, case: Case) -> None:
    _, before, after = case
    old, new = bench.state(before), bench.state(after)
    first, second = bench.reader.timestamp(old), bench.reader.timestamp(new)
    if first is None or second is None or first.version >= second.version or not bench.owed(before, after):
        return
    for script in (serve(old), stale(old, new, root=False, timestamp=True)):
        outcome = bench.play(bench.rested[after], script, new.moment)
        bench.refused(tally, outcome, f"{bench.who(after)} was shown the timestamp of {bench.called(before)}")


def _altered(bench: Bench, tally: Tally, case: Case) -> None:
    number = case[1]
    state = bench.state(number)
    so_far: list[Asked] = []
    for asked in _answered(bench, number):
        so_far.append(asked)
        if not bench.first_time((_altered.__name__, *so_far)):
            # The same client got the same answers in another state, up to this one: it was shown the same.
            continue
        evil = _alter(bench.recording.objects[asked.answer or ""], asked.name)
        digest = sha256_hex(evil)
        outcome = bench.player.play_altered(NEW, _instead(state, asked.name, digest), state.moment, {digest: evil})
        bench.refused(tally, outcome, f"a new client met {bench.called(number)} with an altered {asked.name}")


def _outdated(bench: Bench, tally: Tally, case: Case) -> None:
    number = case[1]
    state = bench.state(number)
    for asked in _answered(bench, number):
        version, _, role = asked.name.removeprefix(METADATA).partition(".")
        known = bench.versions.get(role, {}) if version.isdecimal() else {}
        older = max((number for number in known if number < int(version)), default=None)
        if older is None:
            continue
        outcome = bench.play(NEW, _instead(state, asked.name, known[older]), state.moment)
        bench.refused(
            tally, outcome, f"a new client met {bench.called(number)} with an older file in place of {asked.name}"
        )


def _frozen(bench: Bench, tally: Tally, case: Case) -> None:
    state = bench.state(case[1])
    timestamp = bench.reader.timestamp(state)
    if timestamp is None:
        return
    for holder in (NEW_CLIENT, case[1]):
        outcome = bench.play(bench.held(holder), serve(state), timestamp.expires)
        where = f"{bench.who(holder)} met {bench.called(case[1])} when its timestamp had expired"
        bench.refused(tally, outcome, where)


def _answered(bench: Bench, number: int) -> list[Asked]:
    """What a new client asked for at a state and got, if it took the state."""
    outcome = bench.meet(NEW, number)
    return [] if outcome.fault is not None else [asked for asked in outcome.asked if asked.answer is not None]


def _instead(state: State, name: str, digest: str) -> Script:
    return lambda _, asked: digest if asked == name else state.files.get(asked)


def _alter(data: bytes, name: str) -> bytes:
    """Metadata that claims to hold for ever, under the old signatures; of a target, its first byte changed."""
    if name == TIMESTAMP or name.startswith(METADATA):
        parsed = json.loads(data)
        parsed["signed"]["expires"] = _LATER_EXPIRY
        return json.dumps(parsed).encode()
    return bytes([data[0] ^ 1]) + data[1:] if data else b"x"


REFUSALS = (
    Law(
        name="replayed",
        sentence="A client that has taken a state refuses the timestamp of an earlier one.",
        cases=returns,
        play=_replayed,
    ),
    Law(
        name="altered",
        sentence="A client refuses any file that was changed after it was signed.",
        cases=states,
        play=_altered,
    ),
    Law(
        name="outdated",
        sentence="A client refuses an older file in the place of a newer one.",
        cases=states,
        play=_outdated,
    ),
    Law(
        name="frozen",
        sentence="A client refuses a state whose timestamp has expired.",
        cases=states,
        play=_frozen,
    ),
)
