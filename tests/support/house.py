"""A whole house in one thread: real database, blobs and signatures; the test tells the judge what to say."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gatehouse.catalog.model import File
from gatehouse.core.digests import sha256_hex
from gatehouse.gate.accept import ADMIT_FILE, SCREEN_FILE, Accepted
from gatehouse.gate.authorize import Authority
from gatehouse.gate.publish import Publisher
from gatehouse.initialise import initialise
from gatehouse.malware.difference import ReleaseSummary
from gatehouse.malware.job import Job, Report
from gatehouse.malware.model import (
    Classification,
    Confidence,
    Context,
    Finding,
    Kind,
    Outcome,
    Screened,
    Subject,
    Tier,
    Verdict,
)
from gatehouse.settings import Settings
from gatehouse.tuf.bins import BinLayout
from gatehouse.wiring import Gatehouse, build, build_publisher, build_screen
from tests.support.distributions import build_wheel

LAYOUT = BinLayout(simple_bits=1, files_bits=1)
BEGINNING = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
#: Homes that are set up and nothing else, and the hand clock's moment after, by clock and settings.
_set_up: dict[str, tuple[Path, datetime | None]] = {}


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = BEGINNING

    def now(self) -> datetime:
        """The present moment; a microsecond later each time, so that no two are the same."""
        self.moment += timedelta(microseconds=1)
        return self.moment

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self.moment += span


class Judge:
    """A screener that says what the test told it to, and clean of everything else.

    A test tells it by the filename of a file, `name version` of a release, the name of a project.
    """

    def __init__(self) -> None:
        self.says: dict[str, Tier | str] = {}
        self.summaries: dict[str, ReleaseSummary] = {}
        self.fingerprints: dict[str, tuple[int, ...]] = {}
        self.contents: dict[str, str] = {}
        self.jobs: list[Job] = []

    def screen(self, job: Job, archive: Path) -> Report:
        """One result for each subject that was asked for."""
        assert archive.is_file()
        self.jobs.append(job)
        return Report(
            screened=tuple(
                _screened(subject, self._word(subject), self.contents.get(subject.filename or ""))
                for subject in job.subjects
            ),
            summary=self.summaries.get(job.subject.filename or ""),
            fingerprint=self.fingerprints.get(job.subject.filename or "", ()),
        )

    def _word(self, subject: Subject) -> Tier | str:
        names = {Kind.FILE: subject.filename, Kind.RELEASE: f"{subject.name} {subject.version}"}
        return self.says.get(names.get(subject.kind) or subject.name, Tier.NONE)


def _screened(subject: Subject, word: Tier | str, content: str | None) -> Screened:
    if isinstance(word, str):
        return Screened(
            subject=subject, outcome=Outcome.INCOMPLETE, tier=Tier.NONE, score=0.0, incomplete_reason=word
        )
    if word is Tier.NONE:
        return Screened(subject=subject, outcome=Outcome.CLEAN, tier=Tier.NONE, score=0.0)
    finding = Finding(
        check="told-so",
        version="1",
        message="The test says so.",
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        context=Context.INSTALL,
        member="setup.py",
        line=3,
        chain=("source", "sink"),
        excerpt="exec(payload)",
        content=content,
    )
    verdict = Verdict(
        subject=subject,
        check="told-so",
        version="1",
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        tier=word,
        message="The test says so.",
    )
    return Screened(
        subject=subject,
        outcome=Outcome.FLAGGED,
        tier=word,
        score=0.967857,
        findings=(finding,),
        verdicts=(verdict,),
        checks=(("told-so", "1"),),
    )


@dataclass(kw_only=True)
class House:
    """The house and what a test does in it."""

    gatehouse: Gatehouse
    judge: Judge
    publisher: Publisher
    clock: HandClock | None
    account: str = "alice"
    extra: dict[str, Any] = field(default_factory=dict)

    def authority(self, account: str | None = None, **limits: Any) -> Authority:
        """A fresh token of an account, authenticated."""
        tokens = self.gatehouse.tokens
        return tokens.authenticate(tokens.create(account or self.account, **limits))

    def upload(
        self,
        distribution: tuple[str, bytes],
        *,
        authority: Authority | None = None,
        fields: dict[str, list[str]] | None = None,
    ) -> Accepted:
        """Upload a distribution with the fields that a client would send."""
        filename, data = distribution
        name, version = filename.removesuffix(".tar.gz").split("-")[:2]
        form = {
            "name": [name],
            "version": [version],
            "filetype": ["bdist_wheel" if filename.endswith(".whl") else "sdist"],
            "sha256_digest": [sha256_hex(data)],
        } | (fields or {})
        with self.gatehouse.blobs.receive() as content:
            content.write(data)
            digests = content.finish()
            return self.gatehouse.accept(
                authority=authority or self.authority(),
                fields=form,
                filename=filename,
                content=content,
                digests=digests,
            )

    def wheel(self, name: str = "example", version: str = "1.0", **more: Any) -> Accepted:
        """Upload a wheel made for the occasion."""
        return self.upload(build_wheel(name, version, **more))

    def let_in(self) -> int:
        """Handle what the outbox holds for admission."""
        return self._handle(ADMIT_FILE)

    def screen(self) -> int:
        """Handle what the outbox holds for screening."""
        return self._handle(SCREEN_FILE)

    def publish(self) -> int:
        """Publish until nothing is pending; how many publications that took."""
        count = 0
        while self.publisher.publish() is not None:
            count += 1
        return count

    def work(self) -> None:
        """Everything that waits: admission, screening, publication."""
        while self.let_in() or self.screen():
            pass
        self.publish()

    def file(self, filename: str) -> File:
        """A file as the catalog has it."""
        with self.gatehouse.database.read() as transaction:
            file = transaction.catalog.find_file(filename)
        assert file is not None
        return file

    def _handle(self, topic: str) -> int:
        now = self.gatehouse.clock.now()
        with self.gatehouse.database.write() as transaction:
            messages = transaction.outbox.claim({topic}, limit=100, now=now, lease=timedelta(minutes=5))
        story = self.gatehouse.admit if topic == ADMIT_FILE else build_screen(self.gatehouse, self.judge)
        if messages:
            story(messages)
        return len(messages)


def _copy_set_up(chosen: Settings, clock: HandClock | None, settings: dict[str, Any]) -> None:
    """Set a home up by copying one that was: a ceremony and all migrations take longer than most tests."""
    key = repr((clock is None, sorted(settings.items())))
    if key not in _set_up:
        folder = tempfile.TemporaryDirectory(prefix="gatehouse-house-")
        atexit.register(folder.cleanup)
        home = Path(folder.name) / "home"
        initialise(chosen.model_copy(update={"home": home}), LAYOUT, clock=clock)
        _set_up[key] = home, clock.moment if clock else None
    home, moment = _set_up[key]
    shutil.copytree(home, chosen.home)
    if clock is not None and moment is not None:
        clock.moment = moment


@contextmanager
def house(
    home: Path, *, clock: HandClock | None = None, own_keys: bool = False, **settings: Any
) -> Iterator[House]:
    """A house in a folder, set up, with its publisher at work; without `own_keys` others may have the same."""
    if clock is None:
        # By the machine's own clock no lease runs out in a test, however busy the machine is.
        settings.setdefault("lease_seconds", timedelta(hours=1))
    chosen = Settings(home=home, **settings)
    usual = clock is None or clock.moment == BEGINNING
    if home.exists() or own_keys or not (usual and chosen.embedded) or chosen.metadata_s3:
        initialise(chosen, LAYOUT, clock=clock)
    else:
        _copy_set_up(chosen, clock, settings)
    gatehouse = build(chosen, clock=clock)
    publisher = build_publisher(gatehouse)
    publisher.start(steal=True)
    try:
        yield House(gatehouse=gatehouse, judge=Judge(), publisher=publisher, clock=clock)
    finally:
        if publisher.at_work:
            publisher.stop()
        gatehouse.close()
