"""`gatehouse checks` lists, begins and tests checks, and says by its exit code how it went."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatehouse.cli.common import GatehouseGroup
from gatehouse.malware.registry import Registry


def run(*arguments: str) -> Result:
    group = GatehouseGroup(commands_in="gatehouse.cli", names=("checks",))
    return CliRunner().invoke(group, ["checks", *arguments])


def test_the_list_has_a_line_for_every_check() -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [check.name for check in Registry.load().all()]
    assert "startup-execution  version 1  file  up to hold  Finds code" in result.stdout


@pytest.mark.parametrize("kind", ["file", "release", "project"])
def test_a_new_check_passes_its_own_test(kind: str, tmp_path: Path) -> None:
    made = run("new", "my-first", "--kind", kind, "--folder", str(tmp_path))
    assert made.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_first.md", "my_first.py"]
    assert f"gatehouse checks test my-first --folder {tmp_path}" in made.stdout
    tested = run("test", "my-first", "--folder", str(tmp_path))
    assert tested.exit_code == 0, tested.output
    assert tested.stdout.splitlines()[-1] == "3 examples, 0 failed"


def test_an_example_that_comes_out_otherwise_fails_the_test(tmp_path: Path) -> None:
    run("new", "my-first", "--folder", str(tmp_path))
    page = tmp_path / "my_first.md"
    page.write_text(page.read_text().replace("tier=queue", "tier=hold"))
    result = run("test", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "FAILED  my-first  flagged  package/__init__.py" in result.stdout
    assert "its tier is queue, not hold" in result.stdout
    assert result.stdout.splitlines()[-1] == "3 examples, 1 failed"


def test_a_check_without_a_page_and_a_folder_without_checks_fail_the_test(tmp_path: Path) -> None:
    assert run("test", "--folder", str(tmp_path)).exit_code == 1
    run("new", "my-first", "--folder", str(tmp_path))
    (tmp_path / "my_first.md").unlink()
    result = run("test", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "Check my-first: it has no page" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("new", "Not A Name"), id="ill-formed"),
        pytest.param(("new", "startup-execution"), id="taken"),
        pytest.param(("new", "fine", "--kind", "folder"), id="kind"),
        pytest.param(("test", "no-such-check"), id="unknown"),
        pytest.param(("test", "--folder", "/nowhere/at/all"), id="folder"),
    ],
)
def test_misuse_ends_in_one_line_and_writes_nothing(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_first.py").write_text("mine")
    result = run("new", "my-first", "--folder", str(tmp_path))
    assert result.exit_code == 2
    assert "There is a file my_first.py already" in result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_check_whose_second_file_cannot_be_written_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def fail(path: Path, mode: str = "r", **more: str) -> object:
        if path.suffix == ".py" and mode == "x":
            raise PermissionError(13, "Permission denied")
        return real(path, mode, **more)  # type: ignore[call-overload]  # handed on as they came

    monkeypatch.setattr(Path, "open", fail)
    result = run("new", "my-first", "--folder", str(tmp_path))
    assert result.exit_code == 2
    assert "Permission denied" in result.stderr
    assert list(tmp_path.iterdir()) == []
