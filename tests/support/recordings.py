"""Recordings of our own publisher: a metadata store that notes every write, and truth from the house itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from gatehouse.conformance.client import as_listed, set_moment
from gatehouse.conformance.reading import Reader
from gatehouse.conformance.recording import METADATA, TARGETS, TIMESTAMP, Expected, Recorder, Recording, State
from gatehouse.tuf.ports import MetadataStore
from gatehouse.wiring import Gatehouse
from tests.support.crashes import PassingStore

_BASE = "http://house.invalid/"


class HouseRecorder:
    """Notes what a house serves, state by state.

    Args:
        gatehouse: the house. It has published once, so there is a timestamp.
        paths: the target paths that clients are to look up.
        folder: a folder for the one who looks at each new timestamp.
        now: tells the moment without moving it.
    """

    def __init__(
        self, gatehouse: Gatehouse, paths: Iterable[str], folder: Path, now: Callable[[], datetime]
    ) -> None:
        self.gatehouse = gatehouse
        self.now = now
        self.store = gatehouse.metadata_store
        self._folder = folder
        root = self.store.read("1.root.json")
        assert root is not None
        self.recorder = Recorder(root, paths, complete=True)
        self._expected: dict[str, Expected | None] = {}
        for file in self.store.files():
            data = self.store.read(file.name)
            assert data is not None
            self.recorder.put(METADATA + file.name, data)
        self.moved("the first publication")

    def moved(self, label: str) -> None:
        """The timestamp moved: look what it covers, and note the state."""
        self._expected = self._look()
        self.note(label)

    def note(self, label: str) -> None:
        """A state with what is served now."""
        withdrawn = set()
        for path, expected in self._expected.items():
            if expected is None:
                continue
            folder, _, name = path.rpartition("/")
            served = f"{folder}/{dict(expected.hashes)['sha256']}.{name}"
            data = self._target(served)
            if data is None:
                withdrawn.add(path)
                self.recorder.drop(TARGETS + served)
            else:
                self.recorder.put(TARGETS + served, data)
        self.recorder.state(self.now(), label, self._expected, lapsed=self._has_lapsed(), withdrawn=withdrawn)

    def recording(self) -> Recording:
        """All that was noted."""
        return self.recorder.recording()

    def expected(self) -> dict[str, Expected | None]:
        """What the newest timestamp covers, by path."""
        return dict(self._expected)

    def _look(self) -> dict[str, Expected | None]:
        cache = self._folder / f"look-{len(self.recorder.states)}"
        cache.mkdir(parents=True)
        updater = Updater(
            str(cache), _BASE + METADATA, fetcher=_Reading(self.recorder), bootstrap=self.recorder.root
        )
        set_moment(updater, self.now())
        found: dict[str, Expected | None] = {}
        for path in self.recorder.paths:
            info = updater.get_targetinfo(path)
            listed = None if info is None else as_listed(info)
            found[path] = listed and Expected(hashes=listed.hashes, length=listed.length, content=True)
        return found

    def _target(self, name: str) -> bytes | None:
        served = self.gatehouse.shelf.target(name)
        if served is None:
            return None
        with self.gatehouse.blobs.open(served.sha256) as blob:
            return blob.read()

    def _has_lapsed(self) -> bool:
        """Whether something that the served timestamp reaches has expired: nobody published while it could."""
        reader = Reader(objects=self.recorder.objects)
        state = State(moment=self.now(), label="", files=self.recorder.files)
        return any(
            expires <= self.now()
            for name in reader.live(state)
            if (expires := reader.expires(state, name)) is not None
        )


class _Reading(FetcherInterface):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._recorder.read(url.removeprefix(_BASE))
        if data is None:
            raise DownloadHTTPError(f"no {url}", 404)
        return iter((data,))


class RecordingStore(PassingStore):
    """A metadata store that notes a state after each write, so that each is a crash point of the recording."""

    def __init__(self, store: MetadataStore, recorder: HouseRecorder) -> None:
        super().__init__(store)
        self._recorder = recorder

    def create(self, files: Iterable[tuple[str, bytes]]) -> None:
        for name, data in files:
            new = METADATA + name not in self._recorder.recorder.files
            self._store.create([(name, data)])
            if new:
                self._recorder.recorder.put(METADATA + name, data)
                self._recorder.note(f"{name} written")

    def delete(self, names: Iterable[str]) -> int:
        deleted = 0
        for name in names:
            deleted += self._store.delete([name])
            self._recorder.recorder.drop(METADATA + name)
        self._recorder.note("cleaned up")
        return deleted

    def move_timestamp(self, data: bytes, *, epoch: int) -> None:
        before = self._recorder.recorder.read(TIMESTAMP)
        self._store.move_timestamp(data, epoch=epoch)
        self._recorder.recorder.put(TIMESTAMP, data)
        if data != before:
            self._recorder.moved("the timestamp moved")
