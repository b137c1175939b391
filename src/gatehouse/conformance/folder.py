"""A recording on disk: `objects/<sha256>` and `states.jsonl`, to which an observer adds for days.

The first line says where trust begins and what is looked up; each later one is what changed from the state before,
or when the newest state was last seen. A line is complete when it ends: what a crash left of one is as if it had
never been, and goes when the next is added. Objects are written before the line that names them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

from gatehouse.conformance.recording import BadRecording, Expected, Recording, State
from gatehouse.core.digests import sha256_hex

FORMAT: Final = "gatehouse-recording-1"
_STATES, _OBJECTS = "states.jsonl", "objects"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Objects(Mapping[str, bytes]):
    """Files of a recording by digest, read when they are asked for and held to their digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, digest: str) -> bytes:
        try:
            data = (self._folder / digest).read_bytes()
        except OSError as error:
            raise BadRecording(f"The recording's object {digest} cannot be read: {error.strerror}.") from error
        if sha256_hex(data) != digest:
            raise BadRecording(f"The recording's object {digest} has other content than its name says.")
        return data

    def __iter__(self) -> Iterator[str]:
        return (file.name for file in self._folder.iterdir() if _DIGEST.fullmatch(file.name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class RecordingFolder:
    """A folder that holds a recording.

    Args:
        path: the folder. `create` makes one; `load` and `append` need one that was made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._states = path / _STATES
        self._objects = path / _OBJECTS

    @property
    def exists(self) -> bool:
        """Whether there is a recording in the folder."""
        return self._states.is_file()

    def create(self, root: bytes, paths: Sequence[str], *, complete: bool = False) -> None:
        """Begin a recording.

        Raises:
            BadRecording: the folder holds something already, or cannot be written.
        """
        with _disk(f"Cannot record into {self._path}"):
            self._objects.mkdir(parents=True, exist_ok=True)
            if any(entry.name != _OBJECTS for entry in self._path.iterdir()) or any(self._objects.iterdir()):
                raise BadRecording(f"{self._path} is not empty, and a recording begins in an empty folder.")
            self._keep(root)
            header = {"format": FORMAT, "root": sha256_hex(root), "paths": list(paths), "complete": complete}
            with self._states.open("xb") as file:
                _add(file, header)

    def append(self, before: State | None, state: State, objects: Mapping[str, bytes]) -> None:
        """Add a state.

        Args:
            before: the newest state that the folder has; None for its first.
            state: the new one.
            objects: the bytes of its files; those that the folder has already may be missing.

        Raises:
            BadRecording: the folder cannot be written.
        """
        old = {} if before is None else before.files
        put = {name: digest for name, digest in state.files.items() if old.get(name) != digest}
        line: dict[str, Any] = {
            "moment": state.moment.isoformat(),
            "label": state.label,
            "put": put,
            "gone": sorted(old.keys() - state.files.keys()),
            "expected": {path: _told(expected) for path, expected in state.expected.items()},
        }
        if state.lapsed:
            line["lapsed"] = True
        if state.withdrawn:
            line["withdrawn"] = sorted(state.withdrawn)
        with _disk(f"Cannot record into {self._path}"):
            for digest in put.values():
                if digest in objects:
                    self._keep(objects[digest])
            with self._to_add() as file:
                _add(file, line)

    def seen(self, moment: datetime) -> None:
        """Note that the newest state is still served.

        Raises:
            BadRecording: the folder cannot be written.
        """
        with _disk(f"Cannot record into {self._path}"), self._to_add() as file:
            _add(file, {"seen": moment.isoformat()})

    def load(self) -> Recording:
        """Read the recording.

        Raises:
            BadRecording: there is none, it is damaged, or it has no state yet.
        """
        states, header = self._read()
        return Recording(
            root=_Objects(self._objects)[_digest(header["root"])],
            paths=tuple(str(path) for path in header["paths"]),
            states=tuple(states),
            objects=_Objects(self._objects),
            complete=bool(header.get("complete", False)),
        )

    def begun(self) -> tuple[bytes, tuple[str, ...], tuple[State, ...]]:
        """The root, the paths and the states so far, of a recording that may have none yet.

        Raises:
            BadRecording: there is no recording, or it is damaged.
        """
        states, header = self._read()
        return _Objects(self._objects)[_digest(header["root"])], tuple(header["paths"]), tuple(states)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the only one who adds to it while the block runs.

        Raises:
            BadRecording: another observer does, or the folder cannot be written.
        """
        with _disk(f"Cannot record into {self._path}"):
            file = self._states.open("rb+")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadRecording(f"Another observer records into {self._path} already.") from error
            yield

    # --- parts ---------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[list[State], dict[str, Any]]:
        with _disk(f"There is no recording in {self._path}"):
            text = self._states.read_bytes()
        *lines, _torn = text.split(b"\n")
        states: list[State] = []
        header: dict[str, Any] | None = None
        for number, line in enumerate(lines, 1):
            try:
                said = json.loads(line)
                if header is None:
                    header = _header(said)
                elif "seen" in said:
                    states[-1] = replace(states[-1], until=_moment(said["seen"]))
                else:
                    states.append(_state(states[-1] if states else None, said))
            except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
                raise BadRecording(f"Line {number} of {self._states} cannot be read: {_words(error)}.") from error
        if header is None:
            raise BadRecording(f"{self._states} is empty: it is no recording.")
        return states, header

    def _keep(self, data: bytes) -> None:
        path = self._objects / sha256_hex(data)
        if path.exists():
            return
        with tempfile.NamedTemporaryFile(dir=self._objects, prefix="new-", delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A crash here leaves a file of no digest's name, which nobody reads.
        Path(file.name).replace(path)

    @contextmanager
    def _to_add(self) -> Iterator[IO[bytes]]:
        with self._states.open("rb+") as file:
            whole = file.read()
            file.truncate(whole.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            yield file


def save(recording: Recording, path: Path) -> None:
    """Write a recording into an empty folder.

    Raises:
        BadRecording: the folder holds something already, or cannot be written.
    """
    folder = RecordingFolder(path)
    folder.create(recording.root, recording.paths, complete=recording.complete)
    before = None
    for state in recording.states:
        folder.append(before, state, recording.objects)
        if state.until is not None:
            folder.seen(state.until)
        before = state


def _header(said: dict[str, Any]) -> dict[str, Any]:
    if said.get("format") != FORMAT:
        raise ValueError(f"it does not begin a recording of the format {FORMAT}")
    _digest(said["root"])
    if not isinstance(said["paths"], list) or not all(isinstance(path, str) for path in said["paths"]):
        raise TypeError("paths must be a list of texts")
    return said


def _state(before: State | None, said: dict[str, Any]) -> State:
    files = {} if before is None else dict(before.files)
    for name in said["gone"]:
        del files[name]
    files.update((str(name), _digest(digest)) for name, digest in said["put"].items())
    return State(
        moment=_moment(said["moment"]),
        label=str(said["label"]),
        files=MappingProxyType(files),
        expected=MappingProxyType({str(path): _expected(item) for path, item in said["expected"].items()}),
        lapsed=bool(said.get("lapsed", False)),
        withdrawn=frozenset(map(str, said.get("withdrawn", ()))),
    )


def _told(expected: Expected | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    return {"hashes": list(expected.hashes), "length": expected.length, "content": expected.content}


def _expected(said: dict[str, Any] | None) -> Expected | None:
    if said is None:
        return None
    hashes = tuple((str(name), str(digest)) for name, digest in said["hashes"])
    return Expected(hashes=hashes, length=int(said["length"]), content=bool(said["content"]))


def _digest(text: object) -> str:
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ValueError(f"{str(text)[:80]!r} is no SHA-256")
    return text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the moment {text!r} has no time zone")
    return moment


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:200]}"


def _add(file: IO[bytes], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _disk(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadRecording(f"{what}: {error.strerror}.") from error
