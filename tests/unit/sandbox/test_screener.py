"""Whatever a package brings about in its child, the job ends in one report, and the reason stands in it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.malware.model import Kind, Outcome, Tier
from gatehouse.sandbox.model import SandboxLimits, SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from tests.support.misbehaving import hash_of
from tests.support.sandboxes import PATIENT, children_of, job, misbehaving, outcome, zygote_of
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def screener() -> Iterator[ZygoteScreener]:
    with misbehaving(limits=replace(PATIENT, cpu_seconds=1)) as screener:
        yield screener


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "aloe-1.0.tar.gz"
    path.write_bytes(os.urandom(30_000))
    return path


def test_a_job_that_behaves_is_reported_as_it_says(screener: ZygoteScreener, archive: Path) -> None:
    screened = outcome(screener, "", archive)
    assert (screened.outcome, screened.incomplete_reason) == (Outcome.CLEAN, None)
    assert 0 < screened.seconds < PATIENT.seconds


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("spin", "used more than 1 s of processor time"),
        ("allocate", "needed more than 256 MiB"),
        ("segfault", "the child was killed by signal 11"),
        ("abort", "the child was killed by signal 6"),
        ("terminate", "the child was killed by signal 15"),
        ("leave:9", "the child ended with status 9"),
        ("garbage", "its answer could not be read"),
        ("deep", "its answer could not be read"),
        ("elsewhere", "its answer could not be read"),
        ("half", "its answer could not be read"),
        ("leave:0", "its answer could not be read"),
        ("flood", "its answer was longer than 8 MiB"),
    ],
)
def test_a_child_that_fails_leaves_its_job_incomplete(
    screener: ZygoteScreener, archive: Path, what: str, reason: str
) -> None:
    screened = outcome(screener, what, archive)
    assert (screened.outcome, screened.tier, screened.score) == (Outcome.INCOMPLETE, Tier.NONE, 0.0)
    assert screened.incomplete_reason == reason


@pytest.mark.parametrize(
    ("what", "lasting"),
    [("spin", True), ("allocate", True), ("raise", True), ("segfault", False), ("terminate", False)],
)
def test_a_limit_of_the_bytes_alone_is_told_from_what_another_attempt_may_mend(
    screener: ZygoteScreener, archive: Path, *, what: str, lasting: bool
) -> None:
    report = screener.screen(job(what), archive)
    assert report.lasting is lasting
    assert report.cpu > 0


@pytest.mark.parametrize(("what", "kind"), [("raise", "ValueError"), ("exit", "SystemExit")])
def test_an_exception_is_told_by_kind_and_place_and_never_in_the_packages_words(
    screener: ZygoteScreener, archive: Path, what: str, kind: str
) -> None:
    reason = outcome(screener, what, archive).incomplete_reason
    assert reason is not None
    assert reason.startswith(f"the checks failed: {kind} in gatehouse.sandbox.child at line ")
    assert "package" not in reason


@pytest.mark.parametrize("what", ["sleep", "silent-sleep"])
def test_a_job_that_outlasts_its_time_is_killed(archive: Path, what: str) -> None:
    with misbehaving(limits=SandboxLimits(seconds=0.5)) as screener:
        zygote = zygote_of(screener)
        screened = outcome(screener, what, archive)
        assert screened.incomplete_reason == "ran longer than 0.5 s"
        assert 0.5 <= screened.seconds < 600
        assert children_of(zygote) == []


def test_a_job_is_told_in_time_to_come_to_its_end(archive: Path) -> None:
    # A tenth of three seconds is left to end in: more than the kernel is off by on a busy machine.
    with misbehaving("hasty", limits=replace(PATIENT, cpu_seconds=3)) as screener:
        assert outcome(screener, "patience", archive).outcome is Outcome.CLEAN


@pytest.mark.parametrize(("what", "said"), [("swallow", "MemoryError"), ("map", "ENOMEM")])
def test_memory_that_is_not_there_is_refused_when_it_is_asked_for(
    screener: ZygoteScreener, archive: Path, what: str, said: str
) -> None:
    assert outcome(screener, what, archive).engine_version == said


def test_release_and_project_are_incomplete_with_their_file(screener: ZygoteScreener, archive: Path) -> None:
    report = screener.screen(job("leave:1", with_release=True, with_project=True), archive)
    assert [item.subject.kind for item in report.screened] == [Kind.FILE, Kind.RELEASE, Kind.PROJECT]
    assert [item.subject.version for item in report.screened] == ["1.0", "1.0", None]
    assert {item.incomplete_reason for item in report.screened} == {"the child ended with status 1"}
    assert {item.outcome for item in report.screened} == {Outcome.INCOMPLETE}


def test_jobs_over_one_archive_do_not_share_a_position_in_it(screener: ZygoteScreener, archive: Path) -> None:
    expected = str(hash_of(archive.read_bytes()))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: outcome(screener, "read", archive).engine_version, range(4)))
    assert found == [expected] * 4


def test_many_jobs_run_only_as_many_at_once_as_there_are_slots(screener: ZygoteScreener, archive: Path) -> None:
    zygote = zygote_of(screener)
    with ThreadPoolExecutor(10) as pool:
        endless = [pool.submit(outcome, screener, "sleep", archive) for _ in range(3)]
        wait_until(lambda: len(children_of(zygote)) == 2)
        for left in (2, 1, 0):
            os.kill(children_of(zygote)[0], signal.SIGKILL)
            wait_until(lambda left=left: sum(each.done() for each in endless) == 3 - left)  # type: ignore[misc] # as of now
        jobs = [pool.submit(outcome, screener, "sleep:0.01", archive) for _ in range(50)]
        seen = 0
        while not all(each.done() for each in jobs):
            seen = max(seen, len(children_of(zygote)))
            time.sleep(0.01)
    assert [each.result().outcome for each in jobs] == [Outcome.CLEAN] * 50
    assert seen <= 2


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_archive_file_is_incomplete(screener: ZygoteScreener, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    reason = outcome(screener, "", path).incomplete_reason
    assert reason is not None
    assert reason.startswith("its archive could not be opened: ")


def test_metadata_that_no_message_can_hold_is_incomplete(screener: ZygoteScreener, archive: Path) -> None:
    odd = replace(job(""), core_metadata={"summary": object()})
    (screened,) = screener.screen(odd, archive).screened
    assert screened.incomplete_reason == "its metadata could not be handed over"


def test_no_descriptor_is_left_open_by_jobs_however_they_end(screener: ZygoteScreener, archive: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    outcome(screener, "", archive)
    before = count()
    for what in ("", "segfault", "flood", "garbage", "half"):
        outcome(screener, what, archive)
    outcome(screener, "", archive.with_name("missing"))
    assert count() == before


class TestStarting:
    def test_a_runner_that_cannot_be_prepared_makes_the_sandbox_unavailable(self, archive: Path) -> None:
        with misbehaving("refuse") as screener, pytest.raises(SandboxUnavailable, match="the checks are broken"):
            screener.screen(job(""), archive)

    def test_a_runner_that_does_not_exist_does_too(self) -> None:
        with (
            ZygoteScreener(runner="nowhere:prepare") as screener,
            pytest.raises(SandboxUnavailable, match="nowhere"),
        ):
            screener.start()

    def test_an_interpreter_that_does_not_exist_does_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        with misbehaving() as screener, pytest.raises(SandboxUnavailable, match="does not start"):
            screener.start()

    def test_a_program_that_is_no_zygote_does_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with misbehaving() as screener, pytest.raises(SandboxUnavailable, match="did not start"):
            screener.start()

    def test_another_platform_does_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "plan9")
        with misbehaving() as screener, pytest.raises(SandboxUnavailable, match="needs Linux"):
            screener.start()

    def test_a_failed_start_is_tried_again(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with misbehaving() as screener:
            with monkeypatch.context() as broken:
                broken.setattr(sys, "executable", "/bin/false")
                with pytest.raises(SandboxUnavailable):
                    screener.screen(job(""), archive)
            assert outcome(screener, "", archive).outcome is Outcome.CLEAN

    def test_it_outlives_the_thread_that_started_it(self, archive: Path) -> None:
        with misbehaving() as screener:
            thread = threading.Thread(target=screener.start)
            thread.start()
            thread.join()
            zygote = zygote_of(screener)
            assert outcome(screener, "", archive).outcome is Outcome.CLEAN
            assert zygote_of(screener) == zygote

    def test_a_closed_one_refuses(self, archive: Path) -> None:
        screener = misbehaving()
        screener.close()
        with pytest.raises(SandboxUnavailable, match="closed"):
            screener.screen(job(""), archive)
