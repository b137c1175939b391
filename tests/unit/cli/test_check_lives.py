"""An operator's night: see where checks stand, stop one, look again at what the index holds."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main
from gatehouse.malware.registry import own_names
from tests.support.house import house

NAME = "startup-execution"


def run(home: Path, *words: str) -> Result:
    with patch.dict(os.environ, {"GATEHOUSE_HOME": str(home), "GATEHOUSE_LOG_LEVEL": "error"}):
        return CliRunner().invoke(main, list(words))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with a published, honest wheel and one that a check flags."""
    where = tmp_path / "home"
    with house(where) as opened:
        opened.wheel("honest")
        opened.wheel("hooked", files={"hooked/__init__.py": "", "hooked.pth": "import os; os.system('true')\n"})
        opened.work()
    return where


def test_the_list_says_where_each_check_stands_and_what_it_was_worth(home: Path) -> None:
    result = run(home, "checks", "list")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert {line.split()[0] for line in lines} == own_names()
    (line,) = [line for line in lines if line.startswith(NAME)]
    assert "  enabled up to hold  0 true, 0 false, 0 unsure, 0 open  " in line


def test_a_check_is_stopped_watched_and_let_act_again(home: Path) -> None:
    stopped = run(home, "checks", "state", NAME, "retired", "--reason", "it flags everything tonight")
    assert (stopped.exit_code, stopped.output) == (0, f"{NAME} 1 is retired.\n")
    refused = run(home, "checks", "state", NAME, "enabled", "--reason", "again")
    assert (refused.exit_code, "cannot become enabled at once" in refused.output) == (2, True)
    assert run(home, "checks", "state", NAME, "shadow", "--reason", "look first").exit_code == 0
    enabled = run(home, "checks", "state", NAME, "enabled", "--tier", "queue", "--reason", "it is well again")
    assert f"{NAME} 1 is enabled up to queue." in enabled.output
    assert "Run 1 looks for it in all that the index holds" in enabled.output
    shown = run(home, "checks", "show", NAME).output
    assert "enabled up to queue, since" in shown
    assert "(command line): it flags everything tonight" in shown or "command line: it flags" in shown
    assert "by system: It came with this index" in shown
    assert "run 1  retro-hunt  running  0 of 2" in shown


def test_a_state_needs_a_reason_and_a_check_that_is_here(home: Path) -> None:
    assert "--reason" in run(home, "checks", "state", NAME, "retired").output
    unknown = run(home, "checks", "state", "nobody", "retired", "--reason", "x")
    assert (unknown.exit_code, unknown.output) == (2, "gatehouse: There is no check 'nobody'.\n")
    above = run(home, "checks", "state", NAME, "shadow", "--tier", "hold", "--reason", "x")
    assert (above.exit_code, "Only an enabled check has a tier" in above.output) == (2, True)


def test_the_last_check_that_reads_files_is_stopped_with_a_warning(home: Path) -> None:
    output = ""
    for name in sorted(own_names()):
        output = run(home, "checks", "state", name, "retired", "--reason", "a test").output
    assert "WARNING  No check that reads files is enabled" in output
    doctor = run(home, "doctor")
    assert (doctor.exit_code, "FAULT  checks: No check that reads files is enabled" in doctor.output) == (1, True)


def test_a_backfill_runs_in_the_sandbox_with_all_cores_and_can_be_compared(home: Path) -> None:
    result = run(home, "checks", "backfill", NAME, "--jobs", "2")
    assert result.exit_code == 0, result.output
    assert f"run 1  backfill  {NAME} 1  finished" in result.output
    assert "over        all: 2 of 2 files" in result.output
    assert "flagged     1 (1 at the queue or above)" in result.output
    again = run(home, "checks", "compare", NAME, "--sample", "1", "--seed", "s")
    assert again.exit_code == 0, again.output
    assert "a sample of 1 (seed s): 1 of 1 files" in again.output
    assert "the same    1, different 0, not comparable 0" in again.output
    listed = run(home, "checks", "run", "list").output.splitlines()
    assert [line.split()[:2] for line in listed] == [["2", "replay"], ["1", "backfill"]]


def test_a_queued_run_is_paused_resumed_worked_on_and_shown(home: Path) -> None:
    queued = run(home, "checks", "backfill", NAME, "--queue", "--reason", "tonight")
    assert "running" in queued.output
    assert "paused" in run(home, "checks", "run", "pause", "1").output
    assert run(home, "checks", "run", "pause", "1").exit_code == 2
    assert "0 of 2" in run(home, "checks", "run", "work", "1").output
    assert "running" in run(home, "checks", "run", "resume", "1").output
    assert "finished" in run(home, "checks", "run", "work", "1", "--jobs", "1").output
    assert "2 of 2" in run(home, "checks", "run", "show", "1").output
    assert run(home, "checks", "run", "cancel", "1").exit_code == 2
    assert run(home, "checks", "run", "show", "9").output == "gatehouse: There is no run 9.\n"


def test_a_check_with_a_timetable_has_no_past_to_run_over(home: Path) -> None:
    result = run(home, "checks", "backfill", "maintainer-turnover")
    assert (result.exit_code, "has a timetable" in result.output) == (2, True)


def test_owners_are_listed_added_and_removed(home: Path) -> None:
    run(home, "token", "create", "--account", "bob")
    assert run(home, "owner", "list", "honest").output == "alice\n"
    assert run(home, "owner", "add", "honest", "bob").output == "bob owns honest now.\n"
    assert run(home, "owner", "remove", "honest", "alice").exit_code == 0
    assert run(home, "owner", "list", "honest").output == "bob\n"
    last = run(home, "owner", "remove", "honest", "bob")
    assert (last.exit_code, "last owner" in last.output) == (2, True)


@pytest.mark.parametrize(
    "words", [("show",), ("state",), ("backfill",), ("compare",), ("run",), ("run", "work"), ("run", "pause")]
)
def test_each_command_has_an_example(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "Example: gatehouse checks" in run(tmp_path, "checks", *words, "--help").output
