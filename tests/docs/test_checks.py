"""What `make check` looks for in documents, files and licences is found when it is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.gate.ports import Action
from gatehouse.malware.model import Kind
from gatehouse.malware.registry import Registry
from gatehouse.malware.scaffold import scaffold
from gatehouse.web.admin.words import ACTIONS, STATES
from tests.support.documents import read_steps
from tools import docs, licences, prose, reference, tables

ROOT = Path(__file__).parents[2]


def test_every_setting_and_command_has_its_place_in_the_reference() -> None:
    assert "| `GATEHOUSE_MAX_FILE_SIZE` | `100M` |" in reference.settings_page()
    assert "\n## gatehouse token create\n" in reference.cli_page()


def test_every_check_has_its_place_in_the_reference_with_its_prose_and_the_number_of_its_examples(
    tmp_path: Path,
) -> None:
    made = scaffold("tidy-sink", Kind.FILE)
    (tmp_path / "tidy_sink.py").write_text(made.code)
    (tmp_path / "tidy_sink.md").write_text(made.page)
    page = reference.checks_page(Registry.of_folder(tmp_path))
    assert "| [tidy-sink](#tidy-sink) | 1 | file | queue | Finds calls of example_sink.launch |" in page
    assert "\n## tidy-sink\n" in page
    assert "has 1 flagged and 3 clean examples" in page
    assert "Code that only names the function, in text or as a value." in page
    assert "```" not in page


def test_the_table_of_decisions_has_every_state_and_action_and_what_comes_of_them() -> None:
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in tables.decisions().splitlines()
    )
    assert head[1:] == [ACTIONS[action][0] for action in Action]
    found = {row[0]: dict(zip(Action, row[1:], strict=True)) for row in rows}
    assert set(found) == {STATES[state] for state in FileState}
    assert found[STATES[FileState.HELD]] == {
        Action.HOLD: "stays held",
        Action.LET_THROUGH: "becomes published",
        Action.REMOVE: "becomes removed",
        Action.RESTORE: "no",
    }
    assert found[STATES[FileState.PUBLISHED]][Action.LET_THROUGH] == "stays published"
    assert found[STATES[FileState.DELETED]][Action.REMOVE] == "recorded, stays deleted"


def test_the_tables_on_screening_say_what_policy_does() -> None:
    assert "| medium | 5.5 | none | rank | queue | queue | queue |" in tables.tiers()
    assert "| incomplete | below hold | held | published |" in tables.outcomes()
    assert "| wall clock (`GATEHOUSE_SCREENING_SECONDS`) | 30 s |" in tables.limits()


def test_every_table_stands_on_a_page_and_is_filled_in_its_place() -> None:
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in tables.PAGES]
    assert all(any(f"<!-- table: {name}, written" in text for text in texts) for name in tables.TABLES)
    before = "One\n\n<!-- table: tiers, written by make docs -->\nold\n<!-- end of table -->\n\nTwo\n"
    after = tables.filled(before)
    assert after == before.replace("old\n", tables.tiers())
    assert tables.filled(after) == after
    with pytest.raises(KeyError, match="none"):
        tables.filled(before.replace("tiers", "none"))


def test_a_table_that_the_code_no_longer_has_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "TABLES", {**tables.TABLES, "tiers": lambda: "| other |\n"})
    assert any("what-screening-promises.md: not what the code says now" in fault for fault in docs.check())


def test_a_block_may_hold_fences_and_be_saved_in_a_folder(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "<!-- test: save as checks/a.md -->\n````markdown\n```python\nx = 1\n```\n````\n\n[gone](nowhere.md)\n"
    page.write_text(text)
    (step,) = read_steps(page, "server.invalid")
    assert step.command == "cat > checks/a.md <<'SAVED'\n```python\nx = 1\n```\nSAVED"
    assert list(prose.links(tmp_path, [page])) == ["page.md: the link nowhere.md leads nowhere."]


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
