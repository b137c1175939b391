"""Wheels and sdists made from text when a test runs: the same arguments give the same bytes.

What comes out is an ordinary, correct distribution (RECORD with its hashes, PKG-INFO, one top folder). A test that
needs a hostile one starts from `zip_bytes` or `tar_gz_bytes`, or damages the bytes of a good one.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from packaging.version import Version

#: Every member carries this time, the first that a zip can state.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

Content = str | bytes


def escaped_name(name: str) -> str:
    """A project's name as it stands in filenames: lower case, runs of `-`, `_` and `.` become one `_`."""
    return re.sub(r"[-_.]+", "_", name).lower()


def core_metadata(
    name: str,
    version: str,
    *,
    metadata_version: str = "2.1",
    summary: str | None = "A package made for a test",
    requires_python: str | None = None,
    requires_dist: Sequence[str] = (),
    extra_headers: Sequence[tuple[str, str]] = (),
    description: str | None = None,
) -> bytes:
    """A METADATA or PKG-INFO file. `extra_headers` follow the others, as they are."""
    headers = [("Metadata-Version", metadata_version), ("Name", name), ("Version", version)]
    if summary is not None:
        headers.append(("Summary", summary))
    if requires_python is not None:
        headers.append(("Requires-Python", requires_python))
    headers.extend(("Requires-Dist", requirement) for requirement in requires_dist)
    headers.extend(extra_headers)
    text = "".join(f"{field}: {value}\n" for field, value in headers)
    if description is not None:
        text += f"\n{description}"
    return text.encode()


def record_row(path: str, content: bytes) -> str:
    """A file's row in a wheel's RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    field = '"' + path.replace('"', '""') + '"' if any(c in path for c in ',"') else path
    return f"{field},sha256={digest},{len(content)}\n"


def zip_bytes(members: Iterable[tuple[str, Content]], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these members, in this order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in members:
            info = zipfile.ZipInfo(path, date_time=_ZIP_TIME)
            info.compress_type = compression
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def gzip_bytes(content: bytes) -> bytes:
    """A gzip stream that carries no time and no name."""
    return gzip.compress(content, mtime=0)


def tar_bytes(
    members: Iterable[tuple[str, Content]],
    *,
    tar_format: int = tarfile.PAX_FORMAT,
    extra: Iterable[tarfile.TarInfo] = (),
) -> bytes:
    """A tar file of these regular files, in this order; then the `extra` entries, which carry no content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for path, content in members:
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for entry in extra:
            archive.addfile(entry)
    return buffer.getvalue()


def tar_gz_bytes(
    members: Iterable[tuple[str, Content]],
    *,
    tar_format: int = tarfile.PAX_FORMAT,
    extra: Iterable[tarfile.TarInfo] = (),
) -> bytes:
    """`tar_bytes`, compressed."""
    return gzip_bytes(tar_bytes(members, tar_format=tar_format, extra=extra))


def wheel_members(
    name: str,
    version: str,
    *,
    files: Mapping[str, Content] | None = None,
    metadata: bytes | None = None,
    requires_python: str | None = None,
    requires_dist: Sequence[str] = (),
    tag: str = "py3-none-any",
    build: str | None = None,
) -> list[tuple[str, bytes]]:
    """The members of a correct wheel in the order of its archive, RECORD last."""
    stem = f"{escaped_name(name)}-{Version(version)}"
    dist_info = f"{stem}.dist-info"
    if files is None:
        files = {f"{escaped_name(name)}/__init__.py": f'__version__ = "{version}"\n'}
    if metadata is None:
        metadata = core_metadata(name, version, requires_python=requires_python, requires_dist=requires_dist)
    pythons, abis, platforms = tag.split("-")
    lines = ["Wheel-Version: 1.0", "Generator: gatehouse-tests", "Root-Is-Purelib: true"]
    if build is not None:
        lines.append(f"Build: {build}")
    lines.extend(
        f"Tag: {python}-{abi}-{platform}"
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
    )
    members = [
        (path, content.encode() if isinstance(content, str) else content) for path, content in files.items()
    ]
    members.append((f"{dist_info}/METADATA", metadata))
    members.append((f"{dist_info}/WHEEL", ("\n".join(lines) + "\n").encode()))
    record = "".join(record_row(path, content) for path, content in members) + f"{dist_info}/RECORD,,\n"
    members.append((f"{dist_info}/RECORD", record.encode()))
    return members


def wheel_filename(name: str, version: str, *, tag: str = "py3-none-any", build: str | None = None) -> str:
    """A wheel's filename."""
    middle = "" if build is None else f"{build}-"
    return f"{escaped_name(name)}-{Version(version)}-{middle}{tag}.whl"


def build_wheel(
    name: str,
    version: str,
    *,
    files: Mapping[str, Content] | None = None,
    metadata: bytes | None = None,
    requires_python: str | None = None,
    requires_dist: Sequence[str] = (),
    tag: str = "py3-none-any",
    build: str | None = None,
) -> tuple[str, bytes]:
    """A wheel: its filename and its bytes.

    Args:
        name: the project's name as its owner spells it.
        version: any valid version; the filename has its canonical form.
        files: what the wheel installs, by path; a package with one module if not given.
        metadata: the whole METADATA, instead of one made from the arguments.
        requires_python: for METADATA.
        requires_dist: for METADATA.
        tag: the compressed compatibility tag, as in the filename.
        build: the build tag.
    """
    members = wheel_members(
        name,
        version,
        files=files,
        metadata=metadata,
        requires_python=requires_python,
        requires_dist=requires_dist,
        tag=tag,
        build=build,
    )
    return wheel_filename(name, version, tag=tag, build=build), zip_bytes(members)


def sdist_members(
    name: str,
    version: str,
    *,
    files: Mapping[str, Content] | None = None,
    metadata: bytes | None = None,
    requires_python: str | None = None,
    requires_dist: Sequence[str] = (),
) -> list[tuple[str, bytes]]:
    """The members of a correct sdist, all below `<name>-<version>/`, PKG-INFO first."""
    top = f"{escaped_name(name)}-{Version(version)}"
    if files is None:
        files = {
            "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\n',
            f"{escaped_name(name)}/__init__.py": f'__version__ = "{version}"\n',
        }
    if metadata is None:
        metadata = core_metadata(name, version, requires_python=requires_python, requires_dist=requires_dist)
    members = [(f"{top}/PKG-INFO", metadata)]
    members.extend(
        (f"{top}/{path}", content.encode() if isinstance(content, str) else content)
        for path, content in files.items()
    )
    return members


def build_sdist(
    name: str,
    version: str,
    *,
    files: Mapping[str, Content] | None = None,
    metadata: bytes | None = None,
    requires_python: str | None = None,
    requires_dist: Sequence[str] = (),
    archive_format: Literal["tar.gz", "zip"] = "tar.gz",
) -> tuple[str, bytes]:
    """An sdist: its filename and its bytes.

    Args:
        name: the project's name as its owner spells it.
        version: any valid version; the filename has its canonical form.
        files: what lies below the top folder beside PKG-INFO, by path; a small package if not given.
        metadata: the whole PKG-INFO, instead of one made from the arguments.
        requires_python: for PKG-INFO.
        requires_dist: for PKG-INFO.
        archive_format: `tar.gz`, or `zip` as older tools made it.
    """
    members = sdist_members(
        name, version, files=files, metadata=metadata, requires_python=requires_python, requires_dist=requires_dist
    )
    pack = zip_bytes if archive_format == "zip" else tar_gz_bytes
    return f"{escaped_name(name)}-{Version(version)}.{archive_format}", pack(members)
