"""Any sequence of uploads, screenings, decisions, yanks, deletions, publications and crashes: after every step no
client refuses what is served, and after every publication pages and targets are exactly what the catalog says."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.ports import Action
from gatehouse.malware.model import Tier
from gatehouse.wiring import build_publisher
from tests.support.crashes import Crash, Fuse, FusedDatabase, FusedStore
from tests.support.distributions import build_wheel
from tests.support.house import House, house
from tests.support.tuf_client import Client

PROJECTS = ("ham", "spam")


class HouseMachine(RuleBasedStateMachine):
    """A house, a client that never forgets, and a model: the state of every file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-machine-"))
        self.stack = ExitStack()
        self.number = 0
        self.states: dict[tuple[str, str], FileState] = {}
        self.clean = True

    @initialize()
    def open(self) -> None:
        self.home: House = self.stack.enter_context(house(self.folder / "home"))
        self.authority = self.home.authority()
        self.resting = Client(self.home.gatehouse, self.folder / "resting")

    def teardown(self) -> None:
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(project=st.sampled_from(PROJECTS), tier=st.sampled_from([Tier.NONE, Tier.QUEUE, Tier.HOLD]))
    def upload(self, project: str, tier: Tier) -> None:
        self.number += 1
        filename, data = build_wheel(project, f"1.{self.number}")
        self.home.judge.says[filename] = tier
        self.home.upload((filename, data), authority=self.authority)
        self.states[project, filename] = FileState.ACCEPTED

    @rule()
    def screen(self) -> None:
        while self.home.screen():
            pass
        for key, state in self.states.items():
            if state is FileState.ACCEPTED:
                held = self.home.judge.says[key[1]] is Tier.HOLD
                self.states[key] = FileState.HELD if held else FileState.PUBLISHED
                self.clean = False

    @precondition(lambda self: self.states)
    @rule(data=st.data(), action=st.sampled_from(Action))
    def decide(self, data: st.DataObject, action: Action) -> None:
        key = data.draw(st.sampled_from(sorted(self.states)))
        before = self.states[key]
        try:
            self.home.gatehouse.decide(
                actor="eve", subject=file_subject(self.home.file(key[1])), action=action, reason="a step"
            )
        except CallerError:
            assert self.home.file(key[1]).state is before
            return
        if before is FileState.DELETED:
            assert self.home.file(key[1]).state is before
            return
        self.states[key] = {
            Action.HOLD: FileState.HELD,
            Action.LET_THROUGH: FileState.PUBLISHED,
            Action.REMOVE: FileState.REMOVED,
            Action.RESTORE: FileState.PUBLISHED,
        }[action]
        self.clean = False

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        project, filename = data.draw(st.sampled_from(sorted(self.states)))
        version = filename.split("-")[1]
        try:
            self.home.gatehouse.manage.delete_file(self.authority, project, version, filename)
        except CallerError:
            return
        self.states[project, filename] = FileState.DELETED
        self.clean = False

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def yank(self, data: st.DataObject) -> None:
        project, filename = data.draw(st.sampled_from(sorted(self.states)))
        self.home.gatehouse.manage.yank(self.authority, project, filename.split("-")[1], "a step")
        self.clean = False

    @rule()
    def publish(self) -> None:
        self.home.publish()
        self.clean = True

    @rule(at=st.integers(0, 16), after=st.booleans())
    def crash_and_take_over(self, at: int, after: bool) -> None:  # noqa: FBT001 -- drawn
        fuse = Fuse(at=at, after=after)
        publisher = build_publisher(self.home.gatehouse)
        publisher.start(steal=True)
        publisher.database = FusedDatabase(self.home.gatehouse.database, fuse)
        publisher.store = FusedStore(self.home.gatehouse.metadata_store, fuse)
        try:
            while publisher.publish() is not None:
                pass
        except Crash:
            self.resting.get()  # between the crash and the take-over
        self.home.publisher = build_publisher(self.home.gatehouse)
        assert self.home.publisher.start(steal=True)

    @invariant()
    def no_client_refuses(self) -> None:
        if not hasattr(self, "home"):
            return
        published = {key for key, state in self.states.items() if state is FileState.PUBLISHED}
        pages = [f"simple/{project}/index.v1.json" for project in PROJECTS]
        files = {f"files/{project}/{filename}" for project, filename in self.states}
        # What was held, removed or deleted is not handed out from the decision on, also where TUF still lists it.
        owed = files if self.clean else {f"files/{p}/{f}" for p, f in published}
        found = self.resting.get(*pages, *sorted(owed))
        if not self.clean:
            return
        assert {path for path in files if found[path] is not None} == {f"files/{p}/{f}" for p, f in published}
        for project, path in zip(PROJECTS, pages, strict=True):
            data = found[path]
            listed = set() if data is None else {file["filename"] for file in json.loads(data)["files"]}
            assert listed == {filename for owner, filename in published if owner == project}


TestHouse = HouseMachine.TestCase
TestHouse.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
