"""`gatehouse verdicts export` writes what the database knows, in three forms."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.gate.ports import Action, Decision
from gatehouse.malware.model import Classification, Tier
from gatehouse.malware.verdict import conclude
from gatehouse.settings import load
from gatehouse.wiring import build
from tests.support.screening import FILE, check_of, finding_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env={"GATEHOUSE_HOME": str(home)})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with one screening, whose file was removed."""
    home = tmp_path / "home"
    assert run(home, "init", "--simple-bins", "2", "--files-bins", "2").exit_code == 0
    gatehouse = build(load({"GATEHOUSE_HOME": str(home)}).settings)
    screened = conclude(FILE, findings=[finding_of()], ran=[check_of()])
    with gatehouse.database.write() as transaction:
        transaction.screening.add(screened, trigger="upload", attempt=1, started_at=NOW, finished_at=NOW)
        transaction.screening.decide(
            Decision(subject=FILE, actor="alice", action=Action.REMOVE, reason="It steals.", at=NOW)
        )
    gatehouse.close()
    return home


def test_each_form_has_the_screening_or_the_decision(home: Path) -> None:
    (line,) = run(home, "verdicts", "export").stdout.splitlines()
    assert json.loads(line)["findings"][0]["check"] == "made-up"
    log = json.loads(run(home, "verdicts", "export", "--format", "sarif").stdout)
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["made-up"]
    (line,) = run(home, "verdicts", "export", "--format", "osv").stdout.splitlines()
    assert json.loads(line)["affected"][0]["package"]["name"] == "example"


@pytest.mark.parametrize(("since", "lines"), [("2026-11-21", 1), ("2026-11-21T12:00:01", 0)])
@pytest.mark.parametrize("form", ["jsonl", "osv"])
def test_older_things_are_left_out(home: Path, form: str, since: str, lines: int) -> None:
    result = run(home, "verdicts", "export", "--format", form, "--since", since)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, lines)


def test_findings_of_one_kind_come_alone(home: Path) -> None:
    spam = replace(finding_of("sold", message="It sells."), classification=Classification.SPAM)
    checks = [check_of(), replace(check_of(name="sold", ceiling=Tier.RANK), classification=Classification.SPAM)]
    gatehouse = build(load({"GATEHOUSE_HOME": str(home)}).settings)
    with gatehouse.database.write() as transaction:
        both = conclude(FILE, findings=[finding_of(), spam], ran=checks)
        transaction.screening.add(both, trigger="upload", attempt=1, started_at=NOW, finished_at=NOW)
    gatehouse.close()
    (line,) = run(home, "verdicts", "export", "--kind", "spam").stdout.splitlines()
    assert [finding["check"] for finding in json.loads(line)["findings"]] == ["sold"]
    assert [verdict["check"] for verdict in json.loads(line)["verdicts"]] == ["sold"]
    log = json.loads(run(home, "verdicts", "export", "--format", "sarif", "--kind", "spam").stdout)
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["sold"]


@pytest.mark.parametrize("words", [("--kind", "ham"), ("--since", "yesterday"), ("--format", "xml")])
def test_misuse_exits_2(home: Path, words: tuple[str, ...]) -> None:
    assert run(home, "verdicts", "export", *words).exit_code == 2


def test_without_a_repository_there_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere", "verdicts", "export")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
