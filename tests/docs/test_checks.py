"""What `make check` looks for in documents, files and licences is found when it is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import licences, prose, reference

ROOT = Path(__file__).parents[2]


def test_every_setting_and_command_has_its_place_in_the_reference() -> None:
    assert "| `GATEHOUSE_MAX_FILE_SIZE` | `100M` |" in reference.settings_page()
    assert "\n## gatehouse token create\n" in reference.cli_page()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without a fault, to plant one in."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True, capture_output=True)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/acceptance.md", tmp_path / "docs")
    for path in ("docs", "tests", "bench", "src"):
        for file in prose.tracked(ROOT):
            if file.is_relative_to(ROOT / path) and file.name != "acceptance.md":
                copy = tmp_path / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
    for name in ("CONTRIBUTING.md", "SECURITY.md", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        pytest.param("docs/new.md", "[gone](nowhere.md)", "the link nowhere.md leads nowhere", id="link"),
        pytest.param("docs/new.md", "[up](../../etc/passwd)", "leads nowhere", id="link-out"),
        pytest.param("docs/new.md", "# One\n[two](#two)", "no heading makes the anchor", id="anchor"),
        pytest.param("docs/new.md", f"see {prose.REGISTRY_HOSTS[0]}", "names the package registry", id="address"),
        pytest.param("src/long.py", "x = 1\n" * 501, "501 lines, and 500 is the most", id="length"),
    ],
)
def test_a_planted_fault_is_found(repository: Path, path: str, text: str, fault: str) -> None:
    (repository / path).write_text(text)
    faults = prose.faults(repository)
    assert any(path.removesuffix(".md") in line and fault in line for line in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param("| S3 |", "| S99 |", "S3 is missing", id="missing-id"),
        pytest.param("| S3 |", "| S99 |", "nobody asked for S99", id="unknown-id"),
        pytest.param("test_tutorial.py`", "gone.py`", "gone.py, which does not exist", id="missing-test-file"),
        pytest.param("_works_as_it_is_written", "_is_gone", "_is_gone, which does not exist", id="missing-test"),
        pytest.param("| not yet |", "| nearly |", "the status 'nearly', which is none", id="status"),
    ],
)
def test_a_wrong_row_of_the_acceptance_page_is_found(repository: Path, old: str, new: str, fault: str) -> None:
    page = repository / "docs/acceptance.md"
    text = page.read_text(encoding="utf-8")
    if old == "test_tutorial.py`":
        text = text.replace("| S3 |", "| S3 | `tests/docs/test_tutorial.py` |", 1)
    assert old in text
    page.write_text(text.replace(old, new))
    assert any(fault in line for line in prose.acceptance(repository)), list(prose.acceptance(repository))


def test_what_is_shown_names_what_shows_it(repository: Path) -> None:
    page = repository / "docs/acceptance.md"
    page.write_text("| S1 | signed | believe us | | shown |\n")
    assert any("S1 is shown and names no test" in line for line in prose.acceptance(repository))


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 OR GPL-3.0-only", "permissive"),
        ("MIT AND LGPL-3.0-only", "copyleft"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "copyleft"),
        ("MIT AND Something-Else", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_licence_is_judged_by_all_of_its_parts(expression: str, verdict: str) -> None:
    assert licences.judge(expression) == verdict


def test_nothing_that_gatehouse_runs_on_is_copyleft_or_unknown() -> None:
    assert licences.failures(ROOT) == []


def test_a_locked_file_names_its_distributions_normalized() -> None:
    assert licences.locked("Zope.Interface==8.7 \\\n    --hash=sha256:00\nsix==1.17.0 ; python_version<'4'\n") == {
        "zope-interface",
        "six",
    }
