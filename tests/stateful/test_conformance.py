"""Whatever our publisher goes through, every client can take what it serves, and finds its way back.

Uploads, removals, renewals, clean-ups, time that passes, crashes before and after each write, takeovers: each
write is recorded as a state, and the conformance suite is tried on the whole story when it ends.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gatehouse.conformance.suite import Options, play_all
from gatehouse.core.errors import CallerError
from gatehouse.gate.keep.collect import Collect
from gatehouse.gate.publish import Publisher
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.distributions import build_wheel
from tests.support.house import HandClock, House, house
from tests.support.recordings import HouseRecorder, RecordingStore

PROJECTS = ("ham", "spam")
VERSIONS = ("1.0", "1.1")
#: Of each law, so many cases of a story are tried.
SAMPLE = 40
GRACE = timedelta(hours=1)


class ConformanceMachine(RuleBasedStateMachine):
    """A house whose store is recorded, and the files that it is meant to have."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-conformance-"))
        self.stack = ExitStack()
        self.uploaded: dict[tuple[str, str], str] = {}
        self.deleted: set[str] = set()

    @initialize()
    def open(self) -> None:
        self.clock = HandClock()
        self.home: House = self.stack.enter_context(house(self.folder / "home", clock=self.clock))
        self.authority = self.home.authority()
        paths = [f"simple/{project}/index.html" for project in PROJECTS]
        paths += [
            f"files/{project}/{build_wheel(project, version)[0]}" for project in PROJECTS for version in VERSIONS
        ]
        self.recorder = HouseRecorder(
            self.home.gatehouse, paths, self.folder / "looks", now=lambda: self.clock.moment
        )
        self._take_over()

    def teardown(self) -> None:
        try:
            if hasattr(self, "recorder"):
                self._end()
        finally:
            self.stack.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @precondition(lambda self: len(self.uploaded) < len(PROJECTS) * len(VERSIONS))
    @rule(data=st.data())
    def upload(self, data: st.DataObject) -> None:
        free = [(p, v) for p in PROJECTS for v in VERSIONS if (p, v) not in self.uploaded]
        project, version = data.draw(st.sampled_from(free))
        filename, content = build_wheel(project, version)
        self.home.upload((filename, content), authority=self.authority)
        self.uploaded[project, version] = filename
        while self.home.screen():
            pass

    @precondition(lambda self: self.uploaded)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        (project, version), filename = data.draw(st.sampled_from(sorted(self.uploaded.items())))
        try:
            self.home.gatehouse.manage.delete_file(self.authority, project, version, filename)
        except CallerError:
            return
        self.deleted.add(filename)

    @rule()
    def publish(self) -> None:
        self.home.publish()

    @rule()
    def renew(self) -> None:
        self.home.publisher.publish(renew_all=True)

    @rule(minutes=st.sampled_from([1, 20, 90, 21 * 60, 3 * 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))

    @rule(at=st.integers(0, 12), after=st.booleans(), again=st.booleans())
    def crash_and_take_over(self, at: int, after: bool, again: bool) -> None:  # noqa: FBT001 -- drawn
        for _ in range(1 + again):
            # The one that takes over may crash in its turn, while it mends what the first left.
            with suppress(Crash):
                self._take_over(Fuse(at=at, after=after))
                self.home.publish()
        self._take_over()

    @rule()
    def clean_up(self) -> None:
        house = self.home.gatehouse
        collect = Collect(
            database=house.database,
            store=self.home.publisher.store,
            trust=house.trust,
            clock=self.clock,
            grace=GRACE,
            keep=1,
        )
        collect()

    # --- parts ---------------------------------------------------------------------------------------------------

    def _take_over(self, fuse: Fuse | None = None) -> None:
        publisher: Publisher = build_publisher(self.home.gatehouse)
        # Whatever it mends at its start is recorded too, and what was written before a crash is.
        recorded = RecordingStore(self.home.gatehouse.metadata_store, self.recorder)
        publisher.store = recorded if fuse is None else FusedStore(recorded, fuse)
        assert publisher.start(steal=True)
        if fuse is not None:
            publisher.database = FusedDatabase(self.home.gatehouse.database, fuse)
        self.home.publisher = publisher

    def _end(self) -> None:
        self._take_over()
        self.home.publish()
        expected = self.recorder.expected()
        for (project, _), filename in self.uploaded.items():
            there = expected[f"files/{project}/{filename}"] is not None
            assert there == (filename not in self.deleted), filename
        report = play_all(self.recorder.recording(), Options(sample=SAMPLE, grace=GRACE))
        assert report.failed == 0, "\n".join(f"{v.law}: {v.where}: {v.said}" for v in report.violations)


TestConformance = ConformanceMachine.TestCase
TestConformance.settings = settings(
    max_examples=5, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)
