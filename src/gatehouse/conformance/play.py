"""Sessions played once and looked up after, and the scripts that answer them.

python-tuf's client is deterministic: what it asks next and what it concludes follow from what it holds, the
moment, and the answers so far. So sessions are kept as a tree of answers, and one whose every answer was met
before is looked up, not played. Of the moment only this counts: which expiries of the recording lie behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from gatehouse.conformance.client import Held, Outcome, Script, Visitor
from gatehouse.conformance.recording import METADATA, TIMESTAMP, Recording, State, is_root
from gatehouse.core.errors import InternalError


@dataclass(slots=True)
class _Node:
    """The client stands before this request; by each answer that was met, where it stands then or how it ended."""

    name: str
    after: dict[str | None, _Node | Outcome] = field(default_factory=dict)


class Player:
    """Plays clients against a recording.

    Args:
        recording: what is served.
        folder: an empty folder of the player's own.
    """

    def __init__(self, recording: Recording, folder: Path) -> None:
        self.recording = recording
        self._roots: dict[tuple[Held, int], _Node | Outcome] = {}
        self._expiries = sorted(expiries(recording))
        contents = _recorded_contents(recording.states)
        self._visitor = Visitor(
            root=recording.root,
            paths=recording.paths,
            objects=recording.objects,
            downloads=lambda path, listed: (path, listed.hashes, listed.length) in contents,
            folder=folder,
        )

    @property
    def ran(self) -> int:
        """How many sessions python-tuf played; the others were looked up."""
        return self._visitor.ran

    def play(self, held: Held, script: Script, now: datetime) -> Outcome:
        """How the session of a client ends.

        Args:
            held: what the client remembers.
            script: what answers it. It must answer the same whenever it is asked the same.
            now: the moment at which the session begins.
        """
        key = (held, bisect_right(self._expiries, now))
        known = self._roots.get(key)
        number = 0
        while isinstance(known, _Node):
            known = known.after.get(script(number, known.name))
            number += 1
        if known is None:
            known = self._visitor.visit(held, script, now)
            self._keep(key, known)
        return known

    def play_altered(self, held: Held, script: Script, now: datetime, altered: Mapping[str, bytes]) -> Outcome:
        """The same with files that are in no recording, by digest; nothing of it is kept."""
        visitor = self._visitor
        objects, visitor.objects = visitor.objects, {**visitor.objects, **altered}
        try:
            return visitor.visit(held, script, now)
        finally:
            visitor.objects = objects

    def _keep(self, key: tuple[Held, int], outcome: Outcome) -> None:
        if not outcome.asked:
            self._roots[key] = outcome
            return
        node = self._roots.setdefault(key, _Node(outcome.asked[0].name))
        for here, after in zip(outcome.asked, outcome.asked[1:], strict=False):
            if not isinstance(node, _Node) or node.name != here.name:
                raise InternalError(
                    f"The client asked for {here.name}, where it had asked for something else before."
                )
            node = node.after.setdefault(here.answer, _Node(after.name))
        if isinstance(node, _Node):
            node.after[outcome.asked[-1].answer] = outcome


def serve(state: State) -> Script:
    """A repository that does not change."""
    files = state.files
    return lambda _, name: files.get(name)


def switch(before: State, after: State, request: int) -> Script:
    """A repository that moves on before a request, counted from 0."""
    first, second = before.files, after.files
    return lambda number, name: (first if number < request else second).get(name)


def drift(states: Collection[State], stride: int) -> Script:
    """A repository that moves on by `stride` states before each request but the first, to the last of these."""
    maps = [state.files for state in states]
    return lambda number, name: maps[min(number * stride, len(maps) - 1)].get(name)


def stale(before: State, after: State, *, root: bool, timestamp: bool) -> Script:
    """A repository behind a cache that still answers from `before` for the next root, the timestamp, or both.

    A root that was cached as absent stays absent; what is versioned never changes, so any cache may answer it.
    """
    cached, now = before.files, after.files

    def answer(_: int, name: str) -> str | None:
        held_back = (root and is_root(name)) or (timestamp and name == TIMESTAMP)
        return (cached if held_back else now).get(name)

    return answer


def swept(before: State, live: Mapping[str, str], request: int) -> Script:
    """A repository that moves on before a request and keeps nothing but what its newest timestamp reaches."""
    first = before.files
    return lambda number, name: (first if number < request else live).get(name)


def cut(script: Script, request: int) -> Script:
    """The same as far as a request; from there on the client reaches nobody."""
    return lambda number, name: script(number, name) if number < request else None


def expiries(recording: Recording) -> set[datetime]:
    """Every moment at which some metadata of a recording expires."""
    digests = {
        digest for state in recording.states for name, digest in state.files.items() if name.startswith(METADATA)
    }
    found = {_expiry(recording.objects[digest]) for digest in digests} | {_expiry(recording.root)}
    return {moment for moment in found if moment is not None}


def _expiry(data: bytes) -> datetime | None:
    """When a file of metadata expires; None if nobody can tell, and then no client takes it."""
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except DeserializationError:
        return None
    expires: datetime = metadata.signed.expires
    return expires


def _recorded_contents(states: Iterable[State]) -> set[tuple[str, tuple[tuple[str, str], ...], int]]:
    return {
        (path, expected.hashes, expected.length)
        for state in states
        for path, expected in state.expected.items()
        if expected is not None and expected.content
    }
