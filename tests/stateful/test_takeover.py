"""An old holder is held up between any two of its writes, a standby takes over and publishes, the old one goes on.

Every write of it is then refused or does no harm (equal bytes), in a folder and in a bucket; no client ever sees a
step back, and nothing that was to be published is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Timestamp

from gatehouse import wiring
from gatehouse.core.errors import LeaseLost
from gatehouse.gate.publish import Publisher
from gatehouse.wiring import build_publisher
from gatehouse.wiring.keeping import build_prove
from tests.support.buckets import MemoryBucket
from tests.support.crashes import FusedDatabase, FusedStore, Pause
from tests.support.house import HandClock, House, house
from tests.support.targets import journal
from tests.support.tuf_client import Client

#: The writes of a publication of one change: the commit, one bin, the snapshot, the timestamp, the mark.
WRITES = 5
#: What of that goes into a bucket.
PUTS = ["bin", "snapshot", "timestamp"]
LEASE = timedelta(seconds=5)


class Relay:
    """A house whose publisher is taken over again and again, and a client that rests in between."""

    def __init__(self, home: House, clock: HandClock, folder: Path) -> None:
        self.home = home
        self.clock = clock
        self.client = Client(home.gatehouse, folder)
        self.paths: list[str] = []
        self.newest = 0

    def change(self) -> None:
        """Something to publish."""
        path = f"files/example/file-{len(self.paths)}.zip"
        journal(self.home, path)
        self.paths.append(path)

    def warm(self) -> Publisher:
        """The publisher, with what only its first publication writes behind it."""
        self.change()
        self.home.publish()
        return self.home.publisher

    def look(self) -> None:
        """The client accepts what is served, and it is not older than what was served before."""
        self.client.get()
        data = self.home.gatehouse.metadata_store.read("timestamp.json")
        assert data is not None
        version = Metadata[Timestamp].from_bytes(data).signed.version
        assert version >= self.newest
        self.newest = version

    def take_over(self, *, steal: bool, publish: bool) -> None:
        """A standby becomes the publisher, by force or when the lease has ended, and perhaps publishes more."""
        standby = build_publisher(self.home.gatehouse)
        # As a process of its own would: with a store that remembers nothing of the other's.
        standby.store = wiring.open_metadata_store(self.home.gatehouse.settings)
        if not steal:
            assert not standby.start(), "the lease still runs"
            self.clock.advance(LEASE * 2)
        assert standby.start(steal=steal)
        self.home.publisher = standby
        if publish:
            self.change()
            self.home.publish()
        self.look()

    def go_on(self, old: Publisher) -> str:
        """The old holder publishes, is held up meanwhile, and goes on; what became of it."""
        self.change()
        try:
            old.publish()
        except LeaseLost:
            outcome = "refused"
        else:
            outcome = "done"
        self.look()
        if old is not self.home.publisher:
            old.forget()
            assert not old.start(), "a publisher that was taken over does not wrest the lease back"
        self.home.publish()
        self.look()
        return outcome

    def prove(self) -> None:
        """Everything that was to be published is, and store and database agree to the byte."""
        assert all(self.client.knows(path) for path in self.paths)
        assert list(build_prove(self.home.gatehouse)()) == []


@contextmanager
def relay(tmp_path: Path, bucket: MemoryBucket | None) -> Iterator[Relay]:
    clock = HandClock()
    # The client has a clock of its own.
    clock.moment = datetime.now(UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "BotoBucket", lambda *_, **__: bucket)
        place: dict[str, Any] = {} if bucket is None else {"metadata": "s3://bucket/tuf"}
        with house(tmp_path / "home", clock=clock, lease_seconds=LEASE, **place) as home:
            yield Relay(home, clock, tmp_path / "client")


@pytest.mark.parametrize(
    ("kind", "steal", "publish"),
    [("folder", True, True), ("folder", False, False), ("bucket", True, False), ("bucket", False, True)],
)
def test_whatever_an_old_holder_writes_after_a_takeover_is_refused_or_harmless(
    tmp_path: Path,
    kind: str,
    steal: bool,  # noqa: FBT001 a table
    publish: bool,  # noqa: FBT001 a table
) -> None:
    outcomes: dict[tuple[int, bool], str] = {}
    with relay(tmp_path, MemoryBucket() if kind == "bucket" else None) as run:
        for at in range(WRITES + 1):
            for after in (False, True):
                old = run.warm()
                real = old.store
                pause = Pause(at=at, after=after, meanwhile=lambda: run.take_over(steal=steal, publish=publish))
                old.database = FusedDatabase(old.database, pause)
                old.store = FusedStore(old.store, pause)
                outcomes[at, after] = run.go_on(old)
                old.database, old.store = run.home.gatehouse.database, real
        run.prove()
    # Only whoever was held up after its last write, or not at all, believes that it published.
    done = {point for point, outcome in outcomes.items() if outcome == "done"}
    assert done == {(WRITES - 1, True), (WRITES, False), (WRITES, True)}


@pytest.mark.parametrize("publish", [False, True], ids=["fences", "publishes"])
def test_a_request_to_the_bucket_that_arrives_after_a_takeover_is_refused_or_harmless(
    tmp_path: Path,
    publish: bool,  # noqa: FBT001 a table
) -> None:
    bucket = MemoryBucket()
    landed: list[str] = []
    with relay(tmp_path, bucket) as run:
        for at in range(len(PUTS)):
            for after in (False, True):
                old = run.warm()
                pause = Pause(at=at, after=after, meanwhile=lambda: None)

                def hold_up(key: str, pause: Pause = pause, *, after: bool = False) -> None:
                    pause.writes += not after
                    if pause.writes - 1 == pause.at and pause.after == after:
                        # Only the old holder is held up, not who acts meanwhile.
                        bucket.before_put = bucket.after_put = lambda _key: None
                        landed.append(key.rpartition("/")[2])
                        run.take_over(steal=True, publish=publish)

                bucket.before_put = hold_up
                bucket.after_put = lambda key, hold_up=hold_up: hold_up(key, after=True)  # type: ignore[misc] # bound
                run.go_on(old)
                bucket.before_put = bucket.after_put = lambda _key: None
        run.prove()
    kinds = [name.split(".")[-2].replace("files-bin-", "bin-").split("-")[0] for name in landed]
    assert kinds == [kind for kind in PUTS for _ in ("before", "after")]
