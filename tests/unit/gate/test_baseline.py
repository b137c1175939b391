"""What an upload is compared with: what stood before it, and never what an attacker has just put there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.catalog.model import File
from gatehouse.gate.authorize import Authority
from gatehouse.gate.baseline import STOOD, file_subject
from gatehouse.gate.ports import Action
from gatehouse.malware.difference import ReleaseSummary
from gatehouse.malware.job import Job
from gatehouse.malware.model import Tier
from tests.support.distributions import build_sdist, build_wheel
from tests.support.house import HandClock, House, house

DAY = timedelta(days=1)


class Project:
    """A project whose releases come over time."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.authority: Authority = home.authority()

    def release(
        self, version: str, *, after: timedelta = STOOD, tier: Tier = Tier.NONE, sdist: bool = False
    ) -> File:
        """A file that comes so long after the one before; it is screened at once."""
        assert self.home.clock is not None
        self.home.clock.advance(after)
        built = build_sdist("example", version) if sdist else build_wheel("example", version)
        self.home.judge.says[built[0]] = tier
        self.home.judge.summaries[built[0]] = ReleaseSummary(
            version=version, hosts=frozenset({f"{'sdist' if sdist else 'wheel'}-{version}.invalid"})
        )
        file = self.home.upload(built, authority=self.authority).file
        self.home.work()
        return file

    @property
    def job(self) -> Job:
        """The last job."""
        return self.home.judge.jobs[-1]

    def compared_with(self) -> set[str]:
        """The hosts of what the last file was compared with."""
        return set() if self.job.previous is None else set(self.job.previous.hosts)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with house(tmp_path / "home", clock=HandClock()) as home:
        yield Project(home)


def test_the_first_release_has_nothing_before_it(project: Project) -> None:
    project.release("1.0")
    assert project.job.previous is None
    assert project.job.beside is None
    assert project.job.with_summary


def test_a_release_is_compared_with_the_one_that_stood(project: Project) -> None:
    project.release("1.0")
    project.release("1.1")
    assert project.compared_with() == {"wheel-1.0.invalid"}
    assert project.job.previous is not None
    assert project.job.previous.version == "1.0"
    assert project.job.history is not None
    assert [(each.version, each.uploader) for each in project.job.history.releases] == [
        ("1.0", "alice"),
        ("1.1", "alice"),
    ]


def test_a_release_in_between_does_not_whitewash_the_next(project: Project) -> None:
    project.release("1.0")
    project.release("1.1")
    project.release("1.2", after=timedelta(hours=1))
    assert project.compared_with() == {"wheel-1.0.invalid"}


def test_a_flagged_release_is_no_baseline_however_long_it_stands(project: Project) -> None:
    project.release("1.0")
    flagged = project.release("1.1", tier=Tier.QUEUE)
    project.release("1.2", after=100 * DAY)
    assert project.compared_with() == {"wheel-1.0.invalid"}
    project.home.gatehouse.decide(
        actor="eve", subject=file_subject(flagged), action=Action.LET_THROUGH, reason="an honest feature"
    )
    project.release("1.3", after=timedelta(hours=1), tier=Tier.QUEUE)
    # 1.2 is an hour old and has not stood.
    assert project.compared_with() == {"wheel-1.1.invalid"}


def test_a_held_or_removed_release_is_none(project: Project) -> None:
    project.release("1.0")
    project.release("1.1", tier=Tier.HOLD)
    project.home.gatehouse.decide(
        actor="eve", subject=file_subject(project.release("1.2")), action=Action.REMOVE, reason="malware"
    )
    project.release("1.4")
    assert project.compared_with() == {"wheel-1.0.invalid"}


def test_a_branch_is_compared_with_itself_and_with_the_newest(project: Project) -> None:
    for version in ("1.0", "2.0", "2.1", "1.1"):
        project.release(version)
    assert project.compared_with() == {"wheel-1.0.invalid", "wheel-2.1.invalid"}
    assert project.job.previous is not None
    assert project.job.previous.version == "1.0"


def test_a_version_below_all_others_is_compared_with_the_newest(project: Project) -> None:
    for version in ("1.0", "1.1", "0.1"):
        project.release(version)
    assert project.compared_with() == {"wheel-1.1.invalid"}


def test_a_file_sees_what_lies_beside_it_however_young(project: Project) -> None:
    project.release("1.0")
    project.release("1.1")
    project.release("1.1", after=timedelta(seconds=1), sdist=True)
    assert project.job.beside is not None
    assert project.job.beside.hosts == {"wheel-1.1.invalid"}
    assert project.compared_with() == {"wheel-1.0.invalid"}


def test_a_file_that_comes_late_to_an_old_release_is_compared_with_what_is_older(project: Project) -> None:
    project.release("1.0")
    project.release("1.1")
    project.release("1.0", after=50 * DAY, sdist=True)
    assert project.compared_with() == {"wheel-1.1.invalid"}
    project.release("1.2", after=timedelta(hours=1))
    assert project.compared_with() == {"wheel-1.1.invalid"}
