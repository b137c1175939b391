"""What an operator sees of packs: which run, which are only installed, and, aloud, which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.core.errors import SettingsError
from gatehouse.malware.registry import Registry
from gatehouse.settings import load
from gatehouse.wiring import build_screener, load_checks
from tests.support.check_packs import install_pack


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def run(*words: str, packs: str = "", home: Path | None = None) -> Result:
    environment = {"GATEHOUSE_CHECK_PACKS": packs} | ({} if home is None else {"GATEHOUSE_HOME": str(home)})
    return CliRunner().invoke(main, words, env=environment)


def test_the_list_has_the_checks_of_packs_that_are_allowed(site: Path) -> None:
    install_pack(site, "good-checks")
    without = run("checks", "list")
    assert without.exit_code == 0
    assert "made-up" not in without.stdout
    assert "idle  pack good-checks 1 is installed; GATEHOUSE_CHECK_PACKS does not name it" in without.stdout
    allowed = run("checks", "list", packs="good-checks")
    assert allowed.exit_code == 0
    assert "\nmade-up  " in allowed.stdout
    assert "idle" not in allowed.stdout


def test_a_pack_that_is_refused_is_told_and_fails_the_command_and_no_other_check(site: Path) -> None:
    install_pack(site, "bad-checks", init="CHECK_API = 99\n")
    listed = run("checks", "list", packs="bad-checks missing-checks")
    assert listed.exit_code == 1
    assert "startup-execution" in listed.stdout
    assert "REFUSED  pack bad-checks: it is written for CHECK_API 99, and this is 1" in listed.stdout
    assert "REFUSED  pack missing-checks: it is not installed" in listed.stdout
    tested = run("checks", "test", "placeholder-release", packs="bad-checks")
    assert tested.exit_code == 1
    assert "REFUSED  pack bad-checks" in tested.stdout


def test_the_doctor_finds_a_pack_that_is_refused(site: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("init", "--simple-bins", "2", "--files-bins", "2", home=home).exit_code == 0
    install_pack(site, "good-checks")
    many = len(Registry.load().all()) + 1
    assert f"ok     checks: {many} checks" in run("doctor", home=home, packs="good-checks").stdout
    broken = run("doctor", home=home, packs="missing-checks")
    assert broken.exit_code == 1
    assert "FAULT  checks: pack missing-checks: it is not installed" in broken.stdout


def test_whoever_screens_is_told_in_the_log(site: Path) -> None:
    install_pack(site, "good-checks")
    settings = load({"GATEHOUSE_CHECK_PACKS": "good-checks missing-checks"}).settings
    with structlog.testing.capture_logs() as logs:
        registry = load_checks(settings)
        with build_screener(settings):
            pass
    assert registry.get("made-up").name == "made-up"
    said = {"pack": "missing-checks", "reason": "it is not installed", "log_level": "error"}
    assert logs == [{"event": "a pack of checks is refused", **said}] * 2


@pytest.mark.parametrize("value", ["../up", "a/b", "-x", "a;b"])
def test_what_cannot_be_a_name_stops_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name of a distribution"):
        load({"GATEHOUSE_CHECK_PACKS": f"good-checks {value}"})


def test_a_pack_is_allowed_once_however_often_it_is_named() -> None:
    assert load({"GATEHOUSE_CHECK_PACKS": " a-b  c a-b "}).settings.packs == ("a-b", "c")
