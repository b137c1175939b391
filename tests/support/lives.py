"""A house whose checks a test writes: the real engine in this process, and the steps of their lives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from gatehouse.core.errors import OperatorError
from gatehouse.gate.authorize import Authority
from gatehouse.gate.backfill import Backfill
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.lifecycle import Lifecycle, Step
from gatehouse.gate.ports import NewRun, Run, RunKind, ScreeningRecord
from gatehouse.gate.runs import Runs
from gatehouse.gate.schedule import Timetable
from gatehouse.gate.screen import SHADOW_FILE
from gatehouse.malware import service
from gatehouse.malware.check import Check, Evidence
from gatehouse.malware.job import Job, Report, incomplete
from gatehouse.malware.ledger import Bounds
from gatehouse.malware.lifecycle import Standing, State
from gatehouse.malware.model import Confidence, Tier
from gatehouse.malware.registry import Registry
from gatehouse.malware.views import FileView
from gatehouse.wiring import build_backfill, build_screen, build_shadow
from tests.support.distributions import build_wheel
from tests.support.house import HandClock, House, house
from tests.support.screening import check_of, evidence, registry_of

WATCHED = "marked"


def finds(word: str, confidence: Confidence = Confidence.HIGH) -> Callable[[FileView], Iterable[Evidence]]:
    """A scan that finds a word in a member's text."""

    def scan(view: FileView) -> Iterator[Evidence]:
        for member in view.members:
            if member.content is not None and word.encode() in member.content:
                yield evidence(f"has {word}", confidence, member=member.path)

    return scan


def file_check(name: str = "finder", word: str = WATCHED, *, version: str = "1", **more: Any) -> Check:
    """A check of files that finds a word."""
    scan = more.pop("scan", None) or finds(word, more.pop("confidence", Confidence.HIGH))
    return replace(check_of(scan, name=name, **more), version=version)


class Engine:
    """A screener that is the real engine in this process, over the registry of the moment."""

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry
        self.jobs: list[Job] = []
        self.breaks: dict[str, BaseException | str] = {}

    def screen(self, job: Job, archive: Path) -> Report:
        """Run the job, or break as the test said for this file."""
        self.jobs.append(job)
        trouble = self.breaks.get(job.subject.filename or "")
        if isinstance(trouble, str):
            return incomplete(job, trouble)
        if trouble is not None:
            raise trouble
        with archive.open("rb") as stream:
            return service.run(job, stream, self._registry(), cpu=_tick())


def _tick() -> Callable[[], float]:
    spent = [0.0]

    def cpu() -> float:
        spent[0] += 0.25
        return spent[0]

    return cpu


@dataclass(kw_only=True)
class Lives:
    """The house, its checks as a test changes them, and the engine."""

    house: House
    clock: HandClock
    checks: list[Check]
    engine: Engine = field(init=False)
    _known: tuple[tuple[Check, ...], Registry] | None = None
    _authorities: dict[str, Authority] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = Engine(self.registry)

    def registry(self) -> Registry:
        """The checks that are there now."""
        checks = tuple(self.checks)
        if self._known is None or self._known[0] != checks:
            self._known = (checks, registry_of(*checks))
        return self._known[1]

    @property
    def lifecycle(self) -> Lifecycle:
        """The story of their lives."""
        return self.house.gatehouse.lifecycle

    @property
    def runs(self) -> Runs:
        """Runs over what the index holds."""
        return self.house.gatehouse.runs

    def sync(self) -> list[str]:
        """Count the checks; what became of those that are new."""
        return [f"{change.check} {change.version} {change.standing.word}" for change in self.lifecycle.sync()]

    def standing(self, name: str = "finder") -> str:
        """Where a check stands, in words."""
        with self.house.gatehouse.database.read() as transaction:
            planned = self.lifecycle.plan(transaction).get(name)
        assert planned is not None
        return planned.standing.word

    def move(self, state: State, tier: Tier = Tier.NONE, *, name: str = "finder", actor: str = "alice") -> Step:
        """Let a check take a step."""
        return self.lifecycle.move(name, Standing(state=state, tier=tier), actor=actor, reason="because")

    def retry_later(self) -> None:
        """Let what rests come back."""
        self.clock.advance(timedelta(minutes=10))

    def wheel(self, name: str, *, text: str = "", version: str = "1.0") -> str:
        """Upload a wheel with a module of that text; its filename."""
        account = self.house.account
        if account not in self._authorities:
            self._authorities[account] = self.house.authority()
        wheel = build_wheel(name, version, files={f"{name}/__init__.py": text})
        return self.house.upload(wheel, authority=self._authorities[account]).file.filename

    def screen(self) -> int:
        """Handle what the outbox holds for screening."""
        return self._handle("screen-file", build_screen(self.house.gatehouse, self.engine))

    def watch(self) -> int:
        """Handle what the outbox holds for the shadow."""
        return self._handle(SHADOW_FILE, build_shadow(self.house.gatehouse, self.engine))

    def upload(self, name: str, *, text: str = "", version: str = "1.0") -> str:
        """Upload a wheel and let everything that acts or watches have its say; its filename."""
        filename = self.wheel(name, text=text, version=version)
        self.screen()
        self.watch()
        return filename

    def backfill(self) -> Backfill:
        """Somebody who works on runs."""
        return build_backfill(self.house.gatehouse, self.engine)

    def begin(self, kind: RunKind = RunKind.BACKFILL, *, name: str = "finder", **more: Any) -> Run:
        """Begin a run of the version that is here."""
        check = self.registry().get(name)
        new = NewRun(
            kind=kind,
            check=name,
            version=check.version,
            subjects=check.kind,
            actor="alice",
            reason="because",
            **more,
        )
        return self.runs.begin(new)

    def work(self, run_id: int | None = None) -> None:
        """Work until no run has anything left to take."""
        worker = self.backfill()
        while worker.work_once(run_id) is not None:
            pass

    def records(self, filename: str, *, shadow: bool) -> list[ScreeningRecord]:
        """The screenings of a file, in the shadow or not, oldest first."""
        subject = file_subject(self.house.file(filename))
        with self.house.gatehouse.database.read() as transaction:
            found = transaction.screening.after(0, limit=10_000)
        return [each for each in found if each.screened.subject == subject and each.shadow is shadow]

    def waiting(self) -> list[str]:
        """What waits on the desk, by filename or name."""
        with self.house.gatehouse.database.read() as transaction:
            return [
                each.subject.filename or each.subject.name for each in transaction.screening.waiting(limit=100)
            ]

    def _handle(self, topic: str, story: Callable[[list[Any]], None]) -> int:
        now = self.house.gatehouse.clock.now()
        with self.house.gatehouse.database.write() as transaction:
            messages = transaction.outbox.claim({topic}, limit=1000, now=now, lease=timedelta(minutes=5))
        if messages:
            story(messages)
        return len(messages)


@contextmanager
def lives(home: Path, *checks: Check, bounds: Bounds | None = None, **settings: Any) -> Iterator[Lives]:
    """A house with these checks and no others; nothing has been counted yet."""
    clock = HandClock()
    with house(home, clock=clock, **settings) as opened:
        found = Lives(house=opened, clock=clock, checks=list(checks))
        lifecycle = replace(
            opened.gatehouse.lifecycle,
            registry=found.registry,
            ships=lambda _name: True,
            bounds=bounds or Bounds(),
        )
        opened.gatehouse = replace(
            opened.gatehouse,
            lifecycle=lifecycle,
            timetable=Timetable(database=opened.gatehouse.database, clock=clock, lifecycle=lifecycle),
        )
        yield found


def no_sandbox() -> OperatorError:
    """What is raised where nothing can be screened."""
    return OperatorError("There is no sandbox here.")
