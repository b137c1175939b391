"""The checks themselves run in the sandbox: over ordinary and over odd packages, without a late import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest

from gatehouse.malware.job import Job
from gatehouse.malware.model import Kind, Outcome, Screened, Subject
from gatehouse.sandbox.screener import ZygoteScreener
from tests.support.distributions import build_sdist, build_wheel
from tests.support.sandboxes import ROOT


@pytest.fixture(scope="module")
def screener() -> Iterator[ZygoteScreener]:
    with ZygoteScreener() as screener:
        yield screener


def screen(screener: ZygoteScreener, folder: Path, built: tuple[str, bytes]) -> Screened:
    """The file's part of the report on a distribution."""
    filename, content = built
    archive = folder / filename
    archive.write_bytes(content)
    packagetype: Literal["bdist_wheel", "sdist"] = "bdist_wheel" if filename.endswith(".whl") else "sdist"
    subject = Subject(
        source="local",
        kind=Kind.FILE,
        name="aloe",
        version="1.0",
        filename=filename,
        sha256=sha256(content).hexdigest(),
    )
    job = Job(
        subject=subject,
        packagetype=packagetype,
        archive_format="zip" if filename.endswith(".whl") else "tar.gz",
        display_name="aloe",
        with_release=True,
        with_project=True,
        project_releases=("1.0",),
    )
    return screener.screen(job, archive).screened[0]


@pytest.mark.parametrize("build", [build_wheel, build_sdist])
def test_an_ordinary_package_is_clean(screener: ZygoteScreener, tmp_path: Path, build: type) -> None:
    screened = screen(screener, tmp_path, build("aloe", "1.0"))
    assert (screened.outcome, screened.incomplete_reason) == (Outcome.CLEAN, None)
    assert screened.checks


@pytest.mark.parametrize(
    ("encoding", "outcome"),
    [(name, Outcome.CLEAN) for name in ("koi8-r", "shift_jis", "gb18030", "cp1252", "utf-7")]
    # An encoding that nobody knows is code that was not read, and that is a finding; it is no failure of ours.
    + [("no-such", Outcome.FLAGGED)],
)
def test_source_in_any_encoding_is_read(
    screener: ZygoteScreener, tmp_path: Path, encoding: str, outcome: Outcome
) -> None:
    source = f"# -*- coding: {encoding} -*-\nx = 'caf\\N{{LATIN SMALL LETTER E WITH ACUTE}}'\n".encode()
    screened = screen(screener, tmp_path, build_wheel("aloe", "1.0", files={"aloe/__init__.py": source}))
    assert (screened.outcome, screened.incomplete_reason) == (outcome, None)


def test_bytes_that_are_no_archive_are_incomplete_with_the_checks_own_reason(
    screener: ZygoteScreener, tmp_path: Path
) -> None:
    screened = screen(screener, tmp_path, ("aloe-1.0-py3-none-any.whl", b"no zip"))
    assert screened.outcome is Outcome.INCOMPLETE
    assert screened.incomplete_reason is not None
    assert screened.incomplete_reason.startswith("the archive cannot be read")


LATE_IMPORTS = """
import io, sys
from dataclasses import replace
from gatehouse.malware.job import Job
from gatehouse.malware.model import Kind, Subject
from gatehouse.sandbox.runner import prepare
run = prepare()
before = set(sys.modules)
data = {wheel: open(wheel, "rb").read() for wheel in sys.argv[1:]}
for path, content in data.items():
    name = path.rpartition("/")[2]
    subject = Subject(source="local", kind=Kind.FILE, name="aloe", version="1.0", filename=name, sha256="0" * 64)
    wheel = name.endswith(".whl")
    job = Job(
        subject=subject,
        packagetype="bdist_wheel" if wheel else "sdist",
        archive_format="zip" if wheel else "tar.gz",
        with_release=True,
        with_project=True,
    )
    assert run(job, io.BytesIO(content), lambda: False).screened[0].incomplete_reason is None
print(*sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_late(tmp_path: Path) -> None:
    paths = []
    files: dict[str, str | bytes] = {
        "aloe/__init__.py": "import base64, zlib\nexec(zlib.decompress(base64.b64decode('eJxLTEoGAAJNASc=')))\n",
        "aloe/odd.py": b"# coding: koi8-r\nx = '\xc1\\N{BULLET}'\n",
        "aloe.pth": "import aloe\n",
    }
    for filename, content in (build_wheel("aloe", "1.0", files=files), build_sdist("aloe", "1.0")):
        path = tmp_path / filename
        path.write_bytes(content)
        paths.append(path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", LATE_IMPORTS, *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout.split()) == ("", [])
