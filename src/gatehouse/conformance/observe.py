"""Recording a live repository: look now and then, walk it as a new client when something changed, note a state.

A look at an unchanged repository costs two requests. A walk downloads what python-tuf's client would. Then the
files are asked for again that a client may still need whose session began within the grace: the oldest first, and
no more once all of one session are there. What a new client refuses is recorded as it is: that is the finding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater

from gatehouse.conformance.client import as_listed, said
from gatehouse.conformance.folder import RecordingFolder
from gatehouse.conformance.live import LiveFetcher
from gatehouse.conformance.reading import Reader
from gatehouse.conformance.recording import METADATA, TARGETS, TIMESTAMP, Expected, State
from gatehouse.core.clock import Clock
from gatehouse.core.digests import sha256_hex
from gatehouse.core.errors import CallerError, OperatorError

_LIMITS: Final = UpdaterConfig()
#: What a repository answers for a file that is not there; python-tuf takes both for a root's end.
_ABSENT: Final = (403, 404)
#: How many older files are asked for again in one look, at most.
_MOST_AGAIN: Final = 200


class Unreachable(OperatorError):
    """The repository could not be asked: no connection, an error of the server, too slow, too much."""

    code = "unreachable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """A new state that was recorded: its number, and what made a new client refuse it, if one did."""

    number: int
    state: State
    fault: str | None


@dataclass(kw_only=True)
class Observer:
    """Watches one repository into one folder.

    Attributes:
        folder: where to; it holds a recording already, perhaps without a state.
        metadata_url: the base URL of metadata, with a slash at its end.
        targets_url: the base URL of targets; None: no content is fetched.
        largest: the longest target to fetch, in bytes; longer ones are looked up only.
        grace: how long a session may last together with the life of an answer in a cache.
    """

    folder: RecordingFolder
    fetcher: LiveFetcher
    clock: Clock
    metadata_url: str
    targets_url: str | None = None
    largest: int = 1_000_000
    grace: timedelta = timedelta(hours=1)
    _root: bytes = field(init=False)
    _root_name: str = field(init=False)
    _paths: tuple[str, ...] = field(init=False)
    _states: list[State] = field(init=False)
    _seen: datetime | None = field(default=None, init=False)
    _objects: dict[str, bytes] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._root, self._paths, states = self.folder.begun()
        self._root_name = f"{METADATA}{root_version(self._root)}.root.json"
        self._states = list(states)
        if states:
            recording = self.folder.load()
            needed = {digest for state in self._recent(self.clock.now()) for digest in state.files.values()}
            self._objects = {digest: recording.objects[digest] for digest in needed}

    def look(self) -> Sight | None:
        """Look once, and record a state if something changed.

        Raises:
            Unreachable: the repository could not be asked; nothing was recorded.
            BadRecording: the folder cannot be written.
        """
        self.fetcher.begin()
        now = self.clock.now()
        if self._states and not self._changed(self._states[-1]):
            self._seen = max(now, self._states[-1].until or self._states[-1].moment)
            return None
        self.fetcher.begin()
        expected, fault = self._walk()
        files = self._answered()
        files |= self._again(now, files)
        self.settle()
        before = self._states[-1] if self._states else None
        state = State(
            moment=max([now, *([before.until or before.moment] if before else [])]),
            label=_label(files, self._objects, fault),
            files=MappingProxyType(files),
            expected=MappingProxyType(expected),
        )
        self.folder.append(before, state, self._objects)
        self._states.append(state)
        self._forget(now)
        return Sight(number=len(self._states) - 1, state=state, fault=fault)

    def settle(self) -> None:
        """Note when the newest state was last seen, if it was since it was recorded.

        Raises:
            BadRecording: the folder cannot be written.
        """
        if self._seen is not None:
            self.folder.seen(self._seen)
            self._states[-1] = replace(self._states[-1], until=self._seen)
            self._seen = None

    # --- parts ---------------------------------------------------------------------------------------------------

    def _changed(self, newest: State) -> bool:
        timestamp = self._ask(TIMESTAMP)
        if timestamp is None or sha256_hex(timestamp) != newest.files.get(TIMESTAMP):
            return True
        return self._ask(f"{METADATA}{newest.root_version() + 1}.root.json") is not None

    def _walk(self) -> tuple[dict[str, Expected | None], str | None]:
        """What a new client finds at each path, and why it ended, if it did not get through."""
        found: dict[str, Expected | None] = {}
        with tempfile.TemporaryDirectory(prefix="gatehouse-observe-") as name:
            try:
                updater = Updater(
                    name, self.metadata_url, name, self.targets_url, fetcher=self.fetcher, bootstrap=self._root
                )
                updater.refresh()
                for path in self._paths:
                    found[path] = self._look_up(updater, path, Path(name) / "target")
            except DownloadHTTPError as error:
                if error.status_code not in _ABSENT:
                    raise Unreachable(f"The repository could not be walked: {said(error)}.") from error
                return found, said(error)
            except DownloadError as error:
                raise Unreachable(f"The repository could not be walked: {said(error)}.") from error
            except RepositoryError as error:
                return found, said(error)
        return found, None

    def _look_up(self, updater: Updater, path: str, to: Path) -> Expected | None:
        info = updater.get_targetinfo(path)
        if info is None:
            return None
        listed = as_listed(info)
        if self.targets_url is None or info.length > self.largest:
            return listed
        updater.download_target(info, str(to))
        return Expected(hashes=listed.hashes, length=listed.length, content=True)

    def _answered(self) -> dict[str, str]:
        """The files that the walk got, by their names."""
        files = {}
        for url, data in self.fetcher.answers.items():
            if data is None:
                continue
            if url.startswith(self.metadata_url):
                name = METADATA + url.removeprefix(self.metadata_url)
            else:
                name = TARGETS + url.removeprefix(self.targets_url or "")
            files[name] = self._know(data)
        files.setdefault(self._root_name, self._know(self._root))
        return files

    def _again(self, now: datetime, walked: Mapping[str, str]) -> dict[str, str]:
        """What is there still of the states before, for sessions that began with them."""
        kept: dict[str, str] = {}
        reader = Reader(objects=self._objects)
        known = self._states[-1].files if self._states else {}
        asked, whole = 0, False
        for state in self._recent(now):
            missing = False
            for name in _needed(reader, state):
                if name in walked or name in kept:
                    continue
                if whole or asked >= _MOST_AGAIN:
                    # An older session's files are there, so those of this younger one are taken to be.
                    if name in known:
                        kept[name] = known[name]
                    continue
                asked += 1
                data = self._ask(name)
                if data is None:
                    missing = True
                else:
                    kept[name] = self._know(data)
            whole = whole or not missing
        return kept

    def _recent(self, now: datetime) -> list[State]:
        return [state for state in self._states if (state.until or state.moment) >= now - self.grace]

    def _ask(self, name: str) -> bytes | None:
        if name.startswith(METADATA):
            url, limit = self.metadata_url + name.removeprefix(METADATA), _LIMITS.targets_max_length
        else:
            url, limit = (self.targets_url or "") + name.removeprefix(TARGETS), self.largest
        try:
            return bytes(self.fetcher.download_bytes(url, limit))
        except DownloadHTTPError as error:
            if error.status_code in _ABSENT:
                return None
            raise Unreachable(f"{name[:200]} could not be asked for: {said(error)}.") from error
        except DownloadError as error:
            raise Unreachable(f"{name[:200]} could not be asked for: {said(error)}.") from error

    def _know(self, data: bytes) -> str:
        digest = sha256_hex(data)
        self._objects[digest] = data
        return digest

    def _forget(self, now: datetime) -> None:
        """Keep in memory what the next look needs; the folder has it all."""
        needed = {digest for state in (*self._recent(now), self._states[-1]) for digest in state.files.values()}
        self._objects = {digest: data for digest, data in self._objects.items() if digest in needed}


def root_version(data: bytes) -> int:
    """The version of a root.

    Raises:
        CallerError: it is no TUF root.
    """
    try:
        return int(Metadata[Root].from_bytes(data).signed.version)
    except DeserializationError as error:
        raise CallerError("The root to trust first is no TUF root metadata.") from error


def _needed(reader: Reader, state: State) -> list[str]:
    """The files that a session of this state may ask for after its timestamp."""
    contents = {
        digest for expected in state.expected.values() if expected is not None for _, digest in expected.hashes[:1]
    }
    return [
        name
        for name in reader.live(state)
        if name != TIMESTAMP
        and (name.startswith(METADATA) or name.rpartition("/")[2].partition(".")[0] in contents)
    ]


def _label(files: Mapping[str, str], objects: Mapping[str, bytes], fault: str | None) -> str:
    reader = Reader(objects=objects)
    state = State(moment=datetime.min, label="", files=files)  # noqa: DTZ901 -- no moment: it is only read
    timestamp = reader.timestamp(state)
    if timestamp is None:
        words = "no timestamp that can be read"
    else:
        words = f"timestamp {timestamp.version}, snapshot {timestamp.snapshot_meta.version}"
    return words if fault is None else f"{words}; a new client was refused"
