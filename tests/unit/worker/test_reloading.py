"""Checks are loaded anew when somebody wishes it, in the sandbox and in the server, and never halfway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import structlog

from gatehouse.gate.loaded import LoadedChecks
from gatehouse.malware import checks as own_checks
from gatehouse.malware.registry import InvalidCheck, Registry
from gatehouse.sandbox.model import SandboxUnavailable
from gatehouse.sandbox.screener import ZygoteScreener
from gatehouse.worker.reloading import ReloadLoop
from tests.support.screening import check_of, registry_of
from tests.support.waiting import wait_until


class Sandbox:
    """Counts how often it was loaded, or cannot be."""

    def __init__(self, *, broken: bool = False) -> None:
        self.generation = 1
        self.broken = broken

    def reload(self) -> int:
        if self.broken:
            raise SandboxUnavailable("a check is broken")
        self.generation += 1
        return self.generation


def loop_of(load: Callable[[], Registry], sandbox: Sandbox, done: list[str]) -> tuple[LoadedChecks, ReloadLoop]:
    checks = LoadedChecks(load)
    screener = cast("ZygoteScreener", sandbox)
    return checks, ReloadLoop(checks=checks, screener=screener, then=lambda: done.append("synced"))


def versions() -> Callable[[], Registry]:
    names = iter(["first", "second", "third"])
    return lambda: registry_of(check_of(name=next(names)))


def test_they_are_loaded_once_until_somebody_wishes_them_anew() -> None:
    sandbox, done = Sandbox(), list[str]()
    checks, loop = loop_of(versions(), sandbox, done)
    assert [check.name for check in checks().all()] == ["first"]
    loop.round()
    assert checks() is checks()
    assert (sandbox.generation, done) == (1, [])
    checks.wish()
    loop.round()
    assert [check.name for check in checks().all()] == ["second"]
    assert (sandbox.generation, done) == (2, ["synced"])
    loop.round()
    assert sandbox.generation == 2


def test_what_cannot_be_loaded_leaves_what_was_there() -> None:
    def broken() -> Registry:
        raise InvalidCheck("Check x: it is broken.")

    answers = iter([versions(), broken])

    def load() -> Registry:
        answer = next(answers)
        return answer()

    sandbox, done = Sandbox(), list[str]()
    checks, loop = loop_of(load, sandbox, done)
    before = checks()
    checks.wish()
    with structlog.testing.capture_logs() as logs:
        loop.round()
    assert (checks(), done) == (before, [])
    assert logs[0]["log_level"] == "error"
    assert logs[0]["reason"] == "Check x: it is broken."


def test_a_sandbox_that_cannot_load_them_keeps_the_server_on_the_old_ones_too() -> None:
    checks, loop = loop_of(versions(), Sandbox(broken=True), [])
    before = checks()
    checks.wish()
    with structlog.testing.capture_logs() as logs:
        loop.round()
    assert checks() is before
    assert logs[0]["reason"] == "a check is broken"


def test_a_wish_wakes_the_loop() -> None:
    done: list[str] = []
    checks, loop = loop_of(versions(), Sandbox(), done)
    loop.start()
    try:
        checks.wish()
        wait_until(lambda: done == ["synced"])
    finally:
        loop.stop()
    assert loop.fault is None


def test_own_checks_are_imported_anew_and_stay_when_the_new_ones_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the sandbox would run one version and the server expect another, until somebody restarts it."""
    shipped = Path(own_checks.__path__[0])
    for suffix in (".py", ".md"):
        (tmp_path / f"placeholder_release{suffix}").write_bytes(
            (shipped / f"placeholder_release{suffix}").read_bytes()
        )
    monkeypatch.setattr(own_checks, "__path__", [str(tmp_path)])
    checks = LoadedChecks(lambda: Registry.load(anew=True))
    (first,) = checks().all()
    module = tmp_path / "placeholder_release.py"
    module.write_text(module.read_text().replace(f'version="{first.version}"', 'version="7777"'))
    assert checks().all()[0].version == first.version
    assert checks.reload().all()[0].version == "7777"
    module.write_text("this is no Python")
    with pytest.raises(InvalidCheck):
        checks.reload()
    assert checks().all()[0].version == "7777"
    monkeypatch.undo()
    Registry.load(anew=True)
