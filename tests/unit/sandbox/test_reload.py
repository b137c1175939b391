"""New code takes effect with the next job, without a restart; jobs in flight finish with what they had."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.malware.model import Outcome, Screened
from gatehouse.sandbox.model import SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from tests.support.check_packs import install_pack
from tests.support.distributions import build_sdist
from tests.support.sandboxes import children_of, job, misbehaving, outcome, runs, zygote_of
from tests.support.waiting import wait_until


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "aloe-1.0.tar.gz"
    path.write_bytes(b"nothing")
    return path


def test_a_job_in_flight_finishes_and_its_zygote_goes_then(archive: Path) -> None:
    with misbehaving() as screener, ThreadPoolExecutor() as pool:
        before = zygote_of(screener)
        assert screener.generation == 1
        flying = pool.submit(outcome, screener, "await-more", archive)
        wait_until(lambda: children_of(before) != [])
        assert screener.reload() == screener.generation == 2
        after = zygote_of(screener)
        assert after != before
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN
        assert runs(before)
        with archive.open("ab") as more:
            more.write(b"more")
        assert flying.result().outcome is Outcome.CLEAN
        wait_until(lambda: not runs(before))


def test_an_idle_zygote_goes_at_once(archive: Path) -> None:
    with misbehaving() as screener:
        before = zygote_of(screener)
        screener.reload()
        wait_until(lambda: not runs(before))
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN


def test_code_that_cannot_be_loaded_leaves_what_ran_before(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with misbehaving() as screener:
        before = zygote_of(screener)
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/bin/false")
            with pytest.raises(SandboxUnavailable):
                screener.reload()
        assert (zygote_of(screener), screener.generation) == (before, 1)
        assert outcome(screener, "", archive).outcome is Outcome.CLEAN


def test_a_screener_that_was_closed_is_not_opened_by_it(archive: Path) -> None:
    screener = misbehaving()
    zygote = zygote_of(screener)
    screener.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        screener.reload()
    assert not runs(zygote)
    with pytest.raises(SandboxUnavailable, match="closed"):
        screener.screen(job(""), archive)


def test_a_new_version_of_a_pack_runs_after_a_reload(tmp_path: Path) -> None:
    site = tmp_path / "site"
    folder = install_pack(site, "good-checks")
    filename, content = build_sdist(
        "aloe", "1.0", files={"aloe/b.py": "import example_sink\nexample_sink.launch()\n"}
    )
    archive = tmp_path / filename
    archive.write_bytes(content)
    with ZygoteScreener(folder=site) as screener:
        assert _versions(screener, archive) == {}
        screener.reload(("good-checks",))
        assert _versions(screener, archive) == {"made-up": "1"}
        module = folder / "made_up.py"
        module.write_text(module.read_text().replace('version="1"', 'version="2"'))
        assert _versions(screener, archive) == {"made-up": "1"}
        screener.reload()
        assert _versions(screener, archive) == {"made-up": "2"}
        (folder / "__init__.py").write_text("CHECK_API = 0\n")
        screener.reload()
        assert _versions(screener, archive) == {}


def _versions(screener: ZygoteScreener, archive: Path) -> dict[str, str]:
    """The versions of the pack's checks that found something; Gatehouse's own find nothing here."""
    screened: Screened = screener.screen(replace(job(""), with_release=False), archive).screened[0]
    assert screened.incomplete_reason is None
    return {finding.check: finding.version for finding in screened.findings}
