"""Where an attacker puts a program that is found: another file, another step of a build, another archive.

These are forms of `evasion_forms` as all others; see there.
"""

from __future__ import annotations

import base64
import io
import zipfile
from dataclasses import replace

from bench.detection.repacking import Package, source_of

#: What keeps a build going is not rewritten into another place.
_BUILD = frozenset({"setup.py"})


def in_a_data_file(package: Package, path: str) -> Package | None:
    """The module is base64 in a file beside it, which it reads and runs."""
    text = source_of(package, path)
    if text is None:
        return None
    folder = path.rpartition("/")[0]
    data = f"{folder}/defaults.dat" if folder else "defaults.dat"
    code = """import base64
import os
with open(os.path.join(os.path.dirname(__file__), "defaults.dat"), "rb") as source:
    exec(base64.b64decode(source.read()))
"""
    return package.with_files({path: code.encode(), data: base64.b64encode(text.encode())})


def built(package: Package, path: str) -> Package | None:
    """What `setup.py` does is done by a build backend in the tree instead."""
    text = source_of(package, path)
    if text is None or path != f"{package.top}setup.py":
        return None
    files = {other: content for other, content in package.files.items() if other != path}
    project = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "own_build"\nbackend-path = ["."]\n'
    top = package.top
    return replace(
        package,
        files={
            **files,
            f"{top}pyproject.toml": project.encode(),
            f"{top}own_build.py": f"from setuptools.build_meta import *\n{text}".encode(),
        },
    )


def configured(package: Package, path: str) -> Package | None:
    """What `setup.py` does is done by a module that `setup.cfg` takes the version from."""
    text = source_of(package, path)
    if text is None or path != f"{package.top}setup.py":
        return None
    top = package.top
    files = {other: content for other, content in package.files.items() if other != path}
    config = (
        b"[metadata]\nname = package\nversion = attr: own_version.VERSION\n\n[options]\npy_modules = own_version\n"
    )
    return replace(
        package,
        files={
            **files,
            f"{top}setup.py": b"from setuptools import setup\n\nsetup()\n",
            f"{top}setup.cfg": config,
            f"{top}own_version.py": f"VERSION = str(1.0)\n{text}".encode(),
        },
    )


def at_startup(package: Package, path: str) -> Package | None:
    """The program is a module of a wheel that a `.pth` line imports."""
    text = source_of(package, path)
    if text is None or path.endswith("setup.py"):
        return None
    stem = package.filename.split("-")[0].lower()
    info = f"{stem}-1.0.dist-info/"
    files = {
        f"{stem}_hook.py": text.encode(),
        f"{stem}.pth": f"import {stem}_hook\n".encode(),
        f"{info}METADATA": f"Metadata-Version: 2.1\nName: {stem}\nVersion: 1.0\n".encode(),
        f"{info}WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return Package(filename=f"{stem}-1.0-py3-none-any.whl", files=files)


def second_wheel(package: Package, path: str) -> Package | None:
    """What is imported comes in a wheel, the second one of its release."""
    text = source_of(package, path)
    inner = path.removeprefix(package.top).removeprefix("src/")
    if text is None or inner in _BUILD or package.is_wheel:
        return None
    stem = package.filename.split("-")[0].lower()
    info = f"{stem}-1.0.dist-info/"
    files = {
        other.removeprefix(package.top).removeprefix("src/"): content
        for other, content in package.files.items()
        if other.endswith(".py") and not other.endswith("setup.py")
    }
    files |= {
        f"{info}METADATA": f"Metadata-Version: 2.1\nName: {stem}\nVersion: 1.0\n".encode(),
        f"{info}WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nBuild: 1\nTag: py3-none-any\n",
    }
    return Package(filename=f"{stem}-1.0-1-py3-none-any.whl", files=files)


def polyglot(package: Package, path: str) -> Package | None:
    """The archive is another one too: a shell's program before a zip, a zip of something harmless behind a tar."""
    del path
    if package.is_wheel:
        return replace(package, before=b"#!/bin/sh\nexit 0\n")
    harmless = io.BytesIO()
    with zipfile.ZipFile(harmless, "w") as archive:
        archive.writestr(f"{package.top}setup.py", "from setuptools import setup\n\nsetup()\n")
    return replace(package, behind=harmless.getvalue())


def pretending(package: Package, path: str) -> Package | None:
    """A line says that the text is in an encoding in which it reads otherwise."""
    text = source_of(package, path)
    if text is None or not text.isascii() or "coding" in text[:200] or "+" not in text:
        return None
    return package.with_files({path: b"# -*- coding: utf-7 -*-\n" + text.replace("+", "+-").encode()})
