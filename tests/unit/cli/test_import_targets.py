"""What an operator types to bring an existing index under signatures, and what they read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli import main

DIGEST = "ab" * 32
ROWS = "".join(f"files/example/example-{number}.zip,{DIGEST},{number}\n" for number in range(5))
LIST = f"path,sha256,length\n{ROWS}"


def run(home: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["tuf", *words], input=given, env={"GATEHOUSE_HOME": str(home)})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "home"
    words = ["init", "--simple-bins", "2", "--files-bins", "2"]
    assert CliRunner().invoke(main, words, env={"GATEHOUSE_HOME": str(made)}).exit_code == 0
    return made


def test_a_list_is_imported_published_and_proved(home: Path, tmp_path: Path) -> None:
    listed = tmp_path / "targets.csv.gz"
    listed.write_bytes(gzip.compress(LIST.encode()))
    looked = run(home, "import-targets", "--dry-run", "--publish", str(listed))
    assert (looked.exit_code, "Would import 5 new" in looked.stdout, "snapshot" in looked.stdout) == (
        0,
        True,
        False,
    )
    done = run(home, "import-targets", "--publish", str(listed))
    assert done.exit_code == 0, done.output
    assert "Import 1: 5 new, 0 replaced, 0 there already; 0 refused. 5 well-formed rows in " in done.stdout
    assert "Published snapshot 2" in done.stdout
    assert run(home, "fsck").exit_code == 0
    assert "0 new, 0 replaced, 5 there already" in run(home, "import-targets", str(listed)).stdout
    assert not (tmp_path / "import-rejects.jsonl").exists()
    assert not list(home.glob("import-*")), "no row waits any more"


def test_rows_that_are_refused_are_counted_and_listed(home: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "no.jsonl"
    words = ("import-targets", "-", "--format", "csv", "--rejects", str(rejects))
    done = run(home, *words, given=f"{LIST}files/../x,{DIGEST},1\n")
    assert done.exit_code == 1
    assert "5 new" in done.stdout
    assert "1 refused" in done.stdout
    (refused,) = map(json.loads, rejects.read_text().splitlines())
    assert (refused["list"], refused["line"]) == ("standard input", 7)
    assert "Invalid target path 'files/../x'" in refused["reason"]


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (("nowhere.csv",), "", "Cannot read nowhere.csv: No such file"),
        (("-",), LIST, "--format csv or --format jsonl"),
        (("list.txt",), "", "list.txt ends in neither .csv nor .jsonl"),
        (("-", "--format", "csv", "--strict"), f"{LIST}x\n", "standard input, line 7: it has 1 columns"),
        (("-", "--format", "csv"), "a,b\n", "standard input: The first line must name"),
        (("-", "--format", "csv", "--rejects", "no/where"), f"{LIST}x\n", "Cannot write no/where: No such file"),
    ],
)
def test_what_cannot_be_imported_ends_in_one_error_and_changes_nothing(
    home: Path, words: tuple[str, ...], given: str, message: str
) -> None:
    Path("list.txt").write_text(LIST)
    done = run(home, "import-targets", *words, given=given)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert "5 new" in run(home, "import-targets", "--dry-run", "-", "--format", "csv", given=LIST).stdout


def test_a_spool_without_space_is_said(home: Path) -> None:
    done = run(home, "import-targets", "-", "--format", "csv", "--spool", "/proc", given=LIST)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert "The folder for the rows cannot be made" in done.output
