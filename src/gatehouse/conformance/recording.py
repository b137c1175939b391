"""A recording: the states that a repository served, in order, and what its targets were in each.

A file is kept once, by its digest, and a state maps the names that were answered to digests; a name that a state
lacks was answered with 404. Names are those below the repository's base: `metadata/7.snapshot.json`,
`targets/simple/ham/<sha256>.index.html`. What wrote a state does not matter: our publisher, also between two of
its writes; a live repository that was observed; a procedure played by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import OperatorError

METADATA: Final = "metadata/"
TARGETS: Final = "targets/"
TIMESTAMP: Final = f"{METADATA}timestamp.json"
_ROOT = re.compile(rf"{METADATA}(\d+)\.root\.json")
_WRITTEN_ONCE = re.compile(rf"{METADATA}\d+\..+\.json|{TARGETS}(?:.*/)?[0-9a-f]{{64,128}}\.[^/]*")


class BadRecording(OperatorError):
    """A recording is not one, is damaged, or holds nothing to play."""

    code = "bad-recording"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A target as its metadata lists it: (algorithm, hexadecimal digest) pairs in their order, length in bytes.

    `content`: the content was recorded, so a client that finds the target downloads it.
    """

    hashes: tuple[tuple[str, str], ...]
    length: int
    content: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What was served at one moment.

    Attributes:
        moment: when it began to be served, aware.
        label: what it is, for people.
        files: the digest of every file that was answered, by name.
        expected: what is at each path that was looked up; None: no such target. Paths that are not in it are
            not judged.
        until: the last moment at which it was seen, if it was seen again.
        lapsed: its metadata had expired for want of a publisher, and the recorder knows of it: a client may
            refuse it, and must come back once somebody publishes again.
        withdrawn: targets whose content was taken back already (malware is, at once), so that nobody is owed it.
    """

    moment: datetime
    label: str
    files: Mapping[str, str]
    expected: Mapping[str, Expected | None] = field(default_factory=lambda: MappingProxyType({}))
    until: datetime | None = None
    lapsed: bool = False
    withdrawn: frozenset[str] = frozenset()

    def root_version(self) -> int:
        """The newest root that was served; 0 if none was."""
        return max((int(match[1]) for name in self.files if (match := _ROOT.fullmatch(name))), default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """The states of a repository in order, and where trust in it begins.

    Attributes:
        root: the first root that a client may have been given, as bytes.
        paths: the target paths that clients look up.
        objects: the bytes of every file, by SHA-256 in lower-case hexadecimal.
        complete: the states hold every file that the repository had, not only what a client asked for.

    Raises:
        BadRecording: it has no state, or time runs backwards in it.
    """

    root: bytes
    paths: tuple[str, ...]
    states: tuple[State, ...]
    objects: Mapping[str, bytes]
    complete: bool = False

    def __post_init__(self) -> None:
        if not self.states:
            raise BadRecording("The recording holds no state: nothing was tried.")
        for number, (before, state) in enumerate(zip(self.states, self.states[1:], strict=False), 1):
            if state.moment < (before.until or before.moment):
                raise BadRecording(f"State {number} of the recording is older than the one before it.")


def is_root(name: str) -> bool:
    """Whether a name is a root's: the one metadata file that clients ask for without knowing that it exists."""
    return _ROOT.fullmatch(name) is not None


def is_written_once(name: str) -> bool:
    """Whether a name carries a version or a digest, so that a cache may keep what it got for ever."""
    return _WRITTEN_ONCE.fullmatch(name) is not None


class Recorder:
    """Makes a recording in memory: files are put and dropped, and `state` notes what is there.

    Args:
        root: the first root.
        paths: the target paths that clients are to look up.
        complete: every file of the repository will be put here.
    """

    def __init__(self, root: bytes, paths: Iterable[str], *, complete: bool = False) -> None:
        self.root = root
        self.paths = tuple(paths)
        self._complete = complete
        self._objects: dict[str, bytes] = {}
        self._files: dict[str, str] = {}
        self._states: list[State] = []

    @property
    def files(self) -> Mapping[str, str]:
        """What is there now: digests by name."""
        return MappingProxyType(self._files)

    @property
    def objects(self) -> Mapping[str, bytes]:
        """Every file that was ever there, by digest."""
        return MappingProxyType(self._objects)

    @property
    def states(self) -> tuple[State, ...]:
        """The states noted so far."""
        return tuple(self._states)

    def read(self, name: str) -> bytes | None:
        """A file that is there now."""
        digest = self._files.get(name)
        return None if digest is None else self._objects[digest]

    def put(self, name: str, data: bytes) -> None:
        """Let a file be served, or replace one."""
        digest = sha256_hex(data)
        self._objects[digest] = data
        self._files[name] = digest

    def drop(self, name: str) -> None:
        """Let a file be served no more; one that is not there is no error."""
        self._files.pop(name, None)

    def state(
        self,
        moment: datetime,
        label: str,
        expected: Mapping[str, Expected | None],
        *,
        lapsed: bool = False,
        withdrawn: Iterable[str] = (),
    ) -> State:
        """Note what is there now as a state that is served from this moment on."""
        state = State(
            moment=moment,
            label=label,
            files=MappingProxyType(dict(self._files)),
            expected=MappingProxyType(dict(expected)),
            lapsed=lapsed,
            withdrawn=frozenset(withdrawn),
        )
        self._states.append(state)
        return state

    def recording(self) -> Recording:
        """All states so far.

        Raises:
            BadRecording: there is none, or time ran backwards.
        """
        return Recording(
            root=self.root,
            paths=self.paths,
            states=tuple(self._states),
            objects=self.objects,
            complete=self._complete,
        )
