"""Checks the licences of everything that is locked, from the metadata of what is installed.

Rules it keeps:

- What Gatehouse itself runs on (the closure of its dependencies without extras) is compatible with Apache-2.0 and
  not copyleft.
- Copyleft is tolerated in what an operator or a developer chooses: extras, test and build tools.
- A licence that nobody has judged yet is a failure, wherever it is: judge it and add it to a table below.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "gatehouse-index"

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CNRI-Python",
        "ISC",
        "LicenseRef-Public-Domain",
        # Pyramid and its family: BSD with a clause on trade marks.
        "LicenseRef-Repoze-BSD-derived",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Unlicense",
        "ZPL-2.1",
    }
)
COPYLEFT = frozenset({"GPL-2.0-only", "GPL-3.0-only", "LGPL-3.0-only", "MPL-2.0"})

# What older metadata writes instead of an SPDX expression.
SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "gnu general public license (gpl)": "GPL-3.0-only",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "python software foundation license": "PSF-2.0",
    "repoze public license": "LicenseRef-Repoze-BSD-derived",
    "zope public license": "ZPL-2.1",
}
# Classifiers that say nothing about which licence it is.
VAGUE = frozenset({"dfsg approved", "osi approved"})


def locked(text: str) -> set[str]:
    """The normalized names that a requirements file locks."""
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)}


def closure(roots: Iterable[str]) -> set[str]:
    """The normalized names of everything that these distributions need here, extras only where asked for."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(root), "") for root in roots]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                todo.extend((needed, wanted) for wanted in ("", *requirement.extras))
    return {name for name, _ in seen}


def licences(found: Distribution) -> str:
    """The licence of a distribution: its SPDX expression if it has one, else its classifiers or its field."""
    metadata = found.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License :: ") and text.rpartition(" :: ")[2].lower() not in VAGUE
    ]
    # Several classifiers mean that parts are under each, so all must do.
    if not classifiers and "License" in metadata:
        return metadata["License"].strip()
    return " AND ".join(classifiers)


def judge(expression: str) -> str:
    """`permissive`, `copyleft` or `unknown`, for an expression with AND, OR and brackets around neither."""
    best = "unknown"
    for alternative in re.split(r"\s+OR\s+", expression):
        words = [SPELLINGS.get(part.strip().lower(), part.strip()) for part in re.split(r"\s+AND\s+", alternative)]
        if all(word in PERMISSIVE for word in words):
            return "permissive"
        if all(word in PERMISSIVE | COPYLEFT for word in words):
            best = "copyleft"
    return best


def failures(root: Path) -> list[str]:
    """One line for each distribution that breaks a rule."""
    runtime = closure([PROJECT]) - {PROJECT}
    found: list[str] = []
    main = locked((root / "requirements/main.txt").read_text(encoding="utf-8"))
    everything = main | locked((root / "requirements/dev.txt").read_text(encoding="utf-8"))
    found.extend(f"{name}: needed, and not in requirements/main.txt." for name in sorted(runtime - main))
    judged = 0
    for name in sorted(everything | runtime):
        try:
            expression = licences(distribution(name))
        except PackageNotFoundError:
            continue  # locked for another platform or Python; judged where it is installed
        judged += 1
        verdict = judge(expression)
        if verdict == "unknown":
            found.append(f"{name}: nobody has judged the licence {expression[:80]!r} yet (tools/licences.py).")
        elif verdict == "copyleft" and name in runtime:
            found.append(f"{name}: {expression} is copyleft, and Gatehouse runs on it: make it an extra.")
    if judged < len(runtime) or not runtime:
        found.append("Nothing to judge: install requirements/dev.txt and the project first.")
    return found


def main() -> int:
    """Print the failures; 1 if there are any."""
    lines = failures(ROOT)
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
