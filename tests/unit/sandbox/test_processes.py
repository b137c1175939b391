"""Killing anything at any moment loses no answer, gives none twice, and leaves no process behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from gatehouse.malware.model import Outcome
from tests.support.sandboxes import PATIENT, ROOT, children_of, misbehaving, outcome, runs, zygote_of
from tests.support.waiting import wait_until

ENDED = "the process that runs the checks ended"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "aloe-1.0.tar.gz"
    path.write_bytes(b"bytes")
    return path


def test_when_the_zygote_is_killed_its_job_is_incomplete_and_the_next_finds_a_new_one(archive: Path) -> None:
    with misbehaving() as screener, ThreadPoolExecutor(1) as pool:
        zygote = zygote_of(screener)
        pending = pool.submit(outcome, screener, "sleep", archive)
        wait_until(lambda: children_of(zygote) != [])
        (child,) = children_of(zygote)
        os.kill(zygote, signal.SIGKILL)
        screened = pending.result(60)
        assert (screened.outcome, screened.incomplete_reason) == (Outcome.INCOMPLETE, ENDED)
        wait_until(lambda: not runs(child))
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN
        assert zygote_of(screener) != zygote


def test_a_zygote_that_no_longer_answers_does_not_hold_its_job(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatehouse.sandbox.screener._GRACE", 0.3)
    with misbehaving(limits=type(misbehaving()._limits)(seconds=0.5)) as screener:
        zygote = zygote_of(screener)
        os.kill(zygote, signal.SIGSTOP)
        assert outcome(screener, "", archive).incomplete_reason == "ran longer than 0.5 s"
        assert not runs(zygote)
        screener._limits = PATIENT
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN


def test_with_children_killed_at_random_every_job_has_one_answer(archive: Path) -> None:
    chance = random.Random(6458)  # noqa: S311 -- repeatable, and no secret
    killed = 0
    with misbehaving() as screener, ThreadPoolExecutor(6) as pool:
        zygote = zygote_of(screener)
        # One that ends only when it is killed, so that one is.
        jobs = [pool.submit(outcome, screener, what, archive) for what in ("sleep", *["sleep:0.03"] * 40)]
        while not all(each.done() for each in jobs):
            for child in chance.sample(found := children_of(zygote), k=min(len(found), chance.randint(0, 1))):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    killed += 1
            time.sleep(0.01)
        reasons = [each.result().incomplete_reason for each in jobs]
        assert zygote_of(screener) == zygote
    assert set(reasons) <= {None, "the child was killed by signal 9"}
    assert 1 <= sum(reason is not None for reason in reasons) <= killed


def test_with_zygotes_killed_at_random_every_job_has_one_answer(archive: Path) -> None:
    with misbehaving() as screener, ThreadPoolExecutor(4) as pool:
        # One that ends only with its zygote, so that one does.
        jobs = [pool.submit(outcome, screener, what, archive) for what in ("sleep", *["sleep:0.05"] * 20)]
        seen = set()
        for _ in range(3):
            wait_until(lambda: bool(children_of(zygote_of(screener))) or all(each.done() for each in jobs))
            seen.add(zygote := zygote_of(screener))
            os.kill(zygote, signal.SIGKILL)
        reasons = [each.result(60).incomplete_reason for each in jobs]
        seen.add(zygote_of(screener))
    assert set(reasons) <= {None, ENDED}
    assert ENDED in reasons
    assert None in reasons
    assert not any(runs(zygote) for zygote in seen)


def test_closing_ends_jobs_in_flight_and_leaves_no_process(archive: Path) -> None:
    screener = misbehaving()
    with ThreadPoolExecutor(2) as pool:
        zygote = zygote_of(screener)
        jobs = [pool.submit(outcome, screener, "sleep", archive) for _ in range(2)]
        wait_until(lambda: len(children_of(zygote)) == 2)
        children = children_of(zygote)
        screener.close()
        assert not any(runs(pid) for pid in [zygote, *children])
        assert [each.result(60).incomplete_reason for each in jobs] == [ENDED] * 2


def test_signals_for_the_servers_group_do_not_end_a_zygote(archive: Path) -> None:
    with misbehaving() as screener:
        zygote = zygote_of(screener)
        os.kill(zygote, signal.SIGTERM)
        os.kill(zygote, signal.SIGINT)
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN
        assert zygote_of(screener) == zygote


PARENT = """
import sys, threading
from pathlib import Path
from tests.support.sandboxes import children_of, misbehaving, outcome, zygote_of
from tests.support.waiting import wait_until
screener = misbehaving()
zygote = zygote_of(screener)
threading.Thread(target=outcome, args=(screener, "sleep", Path(sys.argv[1])), daemon=True).start()
wait_until(lambda: children_of(zygote) != [])
print(zygote, *children_of(zygote), flush=True)
sys.stdin.read()
"""


def test_when_the_parent_is_killed_the_zygote_and_its_children_go(archive: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, archive],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(runs(pid) for pid in pids)
        parent.kill()
    wait_until(lambda: not any(runs(pid) for pid in pids))
