"""Distributions taken apart and put together again, so that nothing but what was planted tells."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

_MTIME = 1_700_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A distribution: its filename, and the contents of its files by the path in the archive.

    `before` and `behind` are bytes around the archive itself.
    """

    filename: str
    files: dict[str, bytes]
    before: bytes = b""
    behind: bytes = b""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel; else it is an sdist."""
        return self.filename.endswith(".whl")

    @property
    def top(self) -> str:
        """What stands before the paths of an sdist; empty for a wheel."""
        return "" if self.is_wheel else f"{next(iter(self.files)).partition('/')[0]}/"

    def with_files(self, more: dict[str, bytes]) -> Package:
        """The package with these files added, or others in their place."""
        return replace(self, files={**self.files, **more})

    def text(self, path: str) -> str | None:
        """The text of a file; None if it is none in UTF-8."""
        try:
            return self.files[path].decode()
        except UnicodeDecodeError:
            return None

    def dist_info(self) -> str:
        """The metadata folder of a wheel, with its slash."""
        return next(path.partition("/")[0] + "/" for path in self.files if ".dist-info/" in path)


def source_of(package: Package, path: str) -> str | None:
    """The text of a Python module; None if it is none."""
    return package.text(path) if path.endswith((".py", ".pyw")) else None


def unpacked(filename: str, data: bytes) -> Package:
    """The regular files of a distribution."""
    files: dict[str, bytes] = {}
    if filename.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    else:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    files[str(PurePosixPath(member.name))] = content.read()
    return Package(filename=filename, files=files)


def packed(package: Package) -> bytes:
    """The archive of a package; a wheel's RECORD is written anew."""
    return package.before + (_wheel(package) if package.is_wheel else _sdist(package)) + package.behind


def _sdist(package: Package) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in package.files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), _MTIME
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=_MTIME)


def _wheel(package: Package) -> bytes:
    record = f"{package.dist_info()}RECORD"
    lines = [
        f"{_quoted(path)},sha256={_digest(content)},{len(content)}"
        for path, content in package.files.items()
        if path != record
    ]
    files = {path: content for path, content in package.files.items() if path != record}
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return raw.getvalue()


def _quoted(path: str) -> str:
    return f'"{path}"' if "," in path else path


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
