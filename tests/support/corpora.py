"""Small corpora of inert archives, made when a test runs: some in a git repository, the benign in a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.distributions import build_sdist, build_wheel

#: A program in a literal, run at installation; it would print a word.
HIDDEN = """\
import base64

from setuptools import setup

exec(base64.b64decode("aW1wb3J0IG9zCm9zLnN5c3RlbSgnZWNobyBpbmVydCcpCg=="))
setup(name="x")
"""
QUIET = 'from setuptools import setup\n\nsetup(name="x")\n'


def sdist(name: str, setup: str = QUIET) -> bytes:
    """An sdist with that setup.py."""
    return build_sdist(name, "1.0", files={"setup.py": setup, f"{name}.py": "x = 1\n"})[1]


def wheel(name: str) -> bytes:
    """A wheel that does nothing."""
    return build_wheel(name, "1.0")[1]


def git_repository(folder: Path, files: Mapping[str, bytes]) -> None:
    """A bare repository whose branch `main` has these files; none stands outside of its objects."""

    def git(*words: str, given: bytes = b"") -> str:
        done = subprocess.run(["git", "-C", folder, *words], input=given, capture_output=True, check=True)
        return done.stdout.decode().strip()

    folder.mkdir()
    git("init", "--quiet", "--bare")
    for path, content in files.items():
        blob = git("hash-object", "-w", "--stdin", given=content)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    who = ("-c", "user.name=Tests", "-c", "user.email=tests@tests.invalid")
    git("update-ref", "refs/heads/main", git(*who, "commit-tree", git("write-tree"), "-m", "samples"))


def make_samples(folder: Path) -> None:
    """`samples.git` with three archives of two clusters, and `benign/` with a wheel and an sdist."""
    hidden = {f"{name}/1.0/{name}-1.0.tar.gz": sdist(name, HIDDEN) for name in ("almond", "banana")}
    git_repository(folder / "samples.git", hidden | {"cherry/1.0/cherry-1.0.tar.gz": wheel("cherry")})
    (folder / "benign").mkdir()
    (folder / "benign" / "fig-1.0.tar.gz").write_bytes(sdist("fig"))
    (folder / "benign" / "grape-1.0-py3-none-any.whl").write_bytes(wheel("grape"))
