"""Checks on the repository's documents and files; each function gives one line for each fault.

- links: a relative link in Markdown leads to a file, and its `#anchor` to a heading there;
- acceptance: docs/acceptance.md has a row for every id that was asked for, and what a row names exists;
- addresses: no file names the host of a package registry, so that any mirror may serve;
- sizes: no module of ours is over 500 lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Every id of what was asked for: signing, detection, accounts, beyond, questions.
ACCEPTANCE_IDS = tuple(
    f"{letter}{number}"
    for letter, last in (("S", 17), ("D", 15), ("A", 1), ("B", 9), ("Q", 8))
    for number in range(1, last + 1)
)
STATUSES = frozenset({"shown", "partly", "not yet"})
MAX_LINES = 500

# Joined here, since this file is searched too.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("static", "crates", "io"),
        ("proxy", "golang", "org"),
        ("repo", "maven", "apache", "org"),
    )
)

_FENCE = re.compile(r"^(`{3,}|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_NAMED = re.compile(
    r"`((?:tests|bench|docs|src|tools|\.ci|Makefile|README|SECURITY|CONTRIBUTING)[\w./-]*)(?:::([\w:]+))?`"
)


def tracked(root: Path) -> list[Path]:
    """The repository's files: what git has or would take."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(path for name in done.stdout.split("\0") if name and (path := root / name).is_file())


def links(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for page in files:
        if page.suffix != ".md":
            continue
        prose = _CODE.sub("", _COMMENT.sub("", _FENCE.sub("", page.read_text(encoding="utf-8"))))
        for link in _LINK.findall(prose):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            path, _, anchor = link.partition("#")
            target = page if not path else (page.parent / path).resolve()
            if not target.exists() or not target.is_relative_to(root):
                yield f"{page.relative_to(root)}: the link {link} leads nowhere."
            elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
                yield f"{page.relative_to(root)}: no heading makes the anchor of {link}."


def _anchors(page: Path) -> set[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def acceptance(root: Path) -> Iterator[str]:
    """Ids that docs/acceptance.md leaves out, and things that it names and that do not exist."""
    page = root / "docs/acceptance.md"
    rows = _rows(page.read_text(encoding="utf-8"))
    for wanted in ACCEPTANCE_IDS:
        if wanted not in rows:
            yield f"docs/acceptance.md: {wanted} is missing."
    for found, cells in rows.items():
        status = cells[-1]
        named = _NAMED.findall(" ".join(cells))
        if found not in ACCEPTANCE_IDS:
            yield f"docs/acceptance.md: nobody asked for {found}."
        if status not in STATUSES:
            yield f"docs/acceptance.md: {found} has the status {status!r}, which is none."
        elif status != "not yet" and not named:
            yield f"docs/acceptance.md: {found} is {status} and names no test, benchmark or document."
        for path, name in named:
            if not (root / path).exists():
                yield f"docs/acceptance.md: {found} names {path}, which does not exist."
            elif name and not _defines(root / path, name):
                yield f"docs/acceptance.md: {found} names {path}::{name}, which does not exist."


def _rows(text: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]\d+", cells[0]):
            rows[cells[0]] = cells
    return rows


def _defines(path: Path, name: str) -> bool:
    text = path.read_text(encoding="utf-8")
    return all(
        re.search(
            rf"^\s*(?:async\s+def|def|class)\s+{re.escape(part)}\b|^{re.escape(part)}\s*=", text, re.MULTILINE
        )
        for part in name.split("::")
    )


def addresses(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Files that name the host of a package registry."""
    for path in files:
        text = path.read_bytes().decode("utf-8", errors="replace").lower()
        for host in REGISTRY_HOSTS:
            if host in text:
                line = text[: text.index(host)].count("\n") + 1
                yield f"{path.relative_to(root)}:{line}: names the package registry {host}."


def sizes(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Modules that are too long to read in one go."""
    for path in files:
        if path.suffix == ".py" and path.is_relative_to(root / "src"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > MAX_LINES:
                yield f"{path.relative_to(root)}: {lines} lines, and {MAX_LINES} is the most."


def faults(root: Path) -> list[str]:
    """All faults of all kinds."""
    files = tracked(root)
    if not files:
        return ["git lists no file here, so nothing was checked."]
    return [*links(root, files), *acceptance(root), *addresses(root, files), *sizes(root, files)]
