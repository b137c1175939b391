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
    assert "startup-execution version 1 file up to hold Finds code" in " ".join(result.stdout.split())
    assert len({line.index(" version ") for line in lines}) == 1, "one below the other"


@pytest.mark.parametrize(
    ("options", "suffix", "mutations"),
    [
        (("--kind", "file"), ".py", 29),
        (("--kind", "release"), ".py", 0),
        (("--kind", "project"), ".py", 0),
        (("--rule",), ".yar", 24),
    ],
)
def test_a_new_check_passes_its_own_test(
    options: tuple[str, ...], suffix: str, mutations: int, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "here"
    made = run("new", "my-first", *options, "--folder", str(folder))
    assert made.exit_code == 0
    assert {path.name for path in folder.iterdir()} == {"my_first.md", f"my_first{suffix}"}
    assert f"gatehouse checks test my-first --folder {folder}" in made.stdout
    tested = run("test", "my-first", "--folder", str(folder))
    assert tested.exit_code == 0, tested.output
    assert tested.stdout.splitlines()[-1] == f"4 examples, {mutations} mutations, 0 failed"
    by_path = run("test", str(folder / f"my_first{suffix}"), "--no-mutations")
    assert by_path.stdout.splitlines()[-1] == "4 examples, 0 failed"


def test_a_pack_is_begun_with_its_first_check_and_takes_more(tmp_path: Path) -> None:
    pack = tmp_path / "our-checks"
    assert run("new", "my-first", "--pack", str(pack)).exit_code == 0
    assert run("new", "my-second", "--rule", "--pack", str(pack)).exit_code == 0
    files = sorted(path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file())
    package = "src/our_checks"
    assert files == [
        "pyproject.toml",
        *(f"{package}/{name}" for name in ("__init__.py", "my_first.md", "my_first.py")),
        *(f"{package}/{name}" for name in ("my_second.md", "my_second.yar")),
    ]
    tested = run("test", str(pack / package), "--no-mutations")
    assert (tested.exit_code, tested.stdout.splitlines()[-1]) == (0, "8 examples, 0 failed")


def test_a_mutation_that_silences_a_check_fails_it_until_its_page_says_so(tmp_path: Path) -> None:
    run("new", "my-first", "--rule", "--folder", str(tmp_path))
    page = tmp_path / "my_first.md"
    whole = page.read_text()
    page.write_text(whole.replace("- `encode-string`: likewise.\n", ""))
    result = run("test", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "after encode-string (keeps texts as hexadecimal): it is not flagged" in result.stdout
    assert result.stdout.splitlines()[-1] == "4 examples, 24 mutations, 1 failed"
    page.write_text(whole.replace("likewise.\n", "likewise.\n- `pad`: it is long.\n"))
    result = run("test", "--folder", str(tmp_path))
    assert result.exit_code == 0
    assert "note    my-first  pad is listed as a known evasion and silences nothing" in result.stdout
    assert "after encode-string: likewise." in result.stdout


def test_a_slow_check_is_told_so_and_passes(tmp_path: Path) -> None:
    run("new", "my-first", "--folder", str(tmp_path))
    module = tmp_path / "my_first.py"
    slow = "scan=lambda view: sum(range(2_000_000)) and scan(view),\n    max_ms=5,"
    module.write_text(module.read_text().replace("scan=scan,", slow))
    result = run("test", "--folder", str(tmp_path), "--no-mutations")
    assert result.exit_code == 0, result.output
    assert "slow    my-first  an example takes" in result.stdout
    assert "its max_ms is 5" in result.stdout


def test_an_example_that_comes_out_otherwise_fails_the_test(tmp_path: Path) -> None:
    run("new", "my-first", "--folder", str(tmp_path))
    page = tmp_path / "my_first.md"
    page.write_text(page.read_text().replace("tier=queue", "tier=hold"))
    result = run("test", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "FAILED  my-first  flagged  package/__init__.py" in result.stdout
    assert "its tier is queue, not hold" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(" mutations, 1 failed")


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
        pytest.param(("test", "nowhere/at_all.py"), id="path"),
        pytest.param(("new", "fine", "--rule", "--kind", "project"), id="rules-for-a-project"),
        pytest.param(("new", "fine", "--folder", ".", "--pack", "x"), id="folder-and-pack"),
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
