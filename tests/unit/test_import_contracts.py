"""Each import contract of `.importlinter` can fail: one wrong import, planted in a mini tree, breaks it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).parent / "lint-imports"
ARROWS = "Arrows point inwards"
CORE = "The core needs the standard library alone"
WINGS = "The wings and the gate reach no network"
VALUES = "The wings take values"
KEYS = "Keys are picked by wiring"
ROOMS = (
    "catalog",
    "cli",
    "conformance",
    "core",
    "gate",
    "home",
    "initialise",
    "malware",
    "settings",
    "storage",
    "tuf",
    "web",
    "wiring",
    "worker",
)


def lint(folder: Path, planted: Mapping[str, str]) -> str:
    """What import-linter says of a mini tree with these texts in these modules."""
    for room in (*ROOMS, "storage/keys"):
        (folder / "gatehouse" / room).mkdir(parents=True, exist_ok=True)
        (folder / "gatehouse" / room / "__init__.py").touch()
    (folder / "gatehouse/__init__.py").touch()
    for module, text in planted.items():
        path = folder / "gatehouse" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run(
        [LINTER, "--config", ROOT / ".importlinter", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def broken(said: str) -> list[str]:
    return [line.removesuffix("BROKEN").strip() for line in said.splitlines() if line.endswith("BROKEN")]


def test_the_mini_tree_keeps_every_contract(tmp_path: Path) -> None:
    assert "Contracts: 5 kept, 0 broken." in lint(tmp_path, {})


@pytest.mark.parametrize(
    ("module", "text", "contract"),
    [
        pytest.param("gate/bad", "import gatehouse.storage", ARROWS, id="gate-knows-storage"),
        pytest.param("tuf/bad", "import gatehouse.catalog", ARROWS, id="wing-knows-wing"),
        pytest.param("catalog/bad", "import gatehouse.settings", ARROWS, id="wing-knows-settings"),
        pytest.param("storage/bad", "import gatehouse.settings", ARROWS, id="storage-knows-settings"),
        pytest.param("wiring/bad", "import gatehouse.web", ARROWS, id="wiring-knows-web"),
        pytest.param("core/bad", "import gatehouse.tuf", ARROWS, id="core-knows-a-wing"),
        pytest.param("core/bad", "import packaging.version", CORE, id="core-needs-a-distribution"),
        pytest.param("tuf/bad", "import sqlalchemy", WINGS, id="tuf-reaches-a-database"),
        pytest.param("malware/bad", "import urllib3", WINGS, id="malware-reaches-the-network"),
        pytest.param("gate/bad", "import subprocess", WINGS, id="gate-starts-a-program"),
        pytest.param("malware/bad", "import time", VALUES, id="malware-reads-the-clock"),
        pytest.param("tuf/bad", "import threading", VALUES, id="tuf-starts-a-thread"),
        pytest.param("web/bad", "import gatehouse.storage.keys", KEYS, id="web-sees-keys"),
    ],
)
def test_one_wrong_import_breaks_its_contract(tmp_path: Path, module: str, text: str, contract: str) -> None:
    found = broken(lint(tmp_path, {module: text}))
    assert any(name.startswith(contract) for name in found), found


def test_a_room_that_no_layer_names_breaks_the_arrows(tmp_path: Path) -> None:
    assert "annexe" in lint(tmp_path, {"annexe": ""})


def test_the_core_imports_only_itself_and_the_standard_library() -> None:
    modules = sorted((ROOT / "src/gatehouse/core").rglob("*.py"))
    assert modules
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                known = name.partition(".")[0] in sys.stdlib_module_names or name.startswith("gatehouse.core")
                assert known, f"{module.name} imports {name}"
