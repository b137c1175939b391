"""A distribution's filename taken apart: what it is, of which release, and what its other spellings share.

Follows the binary distribution format (wheels) and the source distribution format (PEP 625, and before it `.zip`
and unnormalized names, as PyPI still takes them). A filename outside the contract's grammar never gets here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)

from gatehouse.catalog.model import PackageType
from gatehouse.core.errors import InvalidUpload
from gatehouse.core.names import InvalidName, check_filename, is_normalized_name

ArchiveFormat = Literal["zip", "tar.gz"]

#: What the upload API calls the Python tag of an sdist.
SOURCE_TAG = "source"


@dataclass(frozen=True, kw_only=True, slots=True)
class DistributionName:
    """A distribution's filename, parsed.

    `project` is normalized; `version` is canonical, its zeros kept (`1.0` stays `1.0`). `build` is the build tag
    without leading zeros, or empty. `tags` are the single compatibility tags, sorted (none for an sdist);
    `python_tag` is the compressed Python part, sorted, or `source`.

    `identity` is the same for all spellings of one distribution: of `Foo_Bar-1.0` and `foo_bar-1.0.0`, of tags in
    another order, of an sdist's `.zip` and `.tar.gz`. So a release has one sdist, and one wheel for each build and
    set of tags. A filename has at most 190 bytes, and an identity stays below 300.
    """

    filename: str
    kind: PackageType
    project: str
    version: str
    build: str
    tags: tuple[str, ...]
    python_tag: str
    archive_format: ArchiveFormat
    identity: str


def parse_distribution_filename(filename: str) -> DistributionName:
    """Take a filename apart.

    Raises:
        InvalidUpload: it is outside the contract's grammar, or is neither a wheel's nor an sdist's filename.
    """
    try:
        check_filename(filename)
    except InvalidName as error:
        raise InvalidUpload(error.message) from error
    if filename.endswith(".whl"):
        return _parse_wheel(filename)
    if filename.endswith((".tar.gz", ".zip")):
        return _parse_sdist(filename)
    raise InvalidUpload(f"{filename!r} is neither a wheel (.whl) nor a source distribution (.tar.gz or .zip).")


def _parse_wheel(filename: str) -> DistributionName:
    try:
        project, version, build_tag, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise InvalidUpload(
            f"Invalid wheel filename {filename!r}: it must be name-version[-build]-python-abi-platform.whl, "
            "with a valid version."
        ) from error
    _check_project(project, filename)
    build = "".join(map(str, build_tag))
    pythons, abis, platforms = _compressed(tags)
    identity = f"bdist_wheel:{project}:{canonicalize_version(version)}:{build}:{pythons}-{abis}-{platforms}"
    return DistributionName(
        filename=filename,
        kind="bdist_wheel",
        project=project,
        version=str(version),
        build=build,
        tags=tuple(sorted(map(str, tags))),
        python_tag=pythons,
        archive_format="zip",
        identity=identity,
    )


def _parse_sdist(filename: str) -> DistributionName:
    try:
        project, version = parse_sdist_filename(filename)
    except InvalidSdistFilename as error:
        raise InvalidUpload(
            f"Invalid source distribution filename {filename!r}: it must be name-version.tar.gz, "
            "with a valid version."
        ) from error
    _check_project(project, filename)
    return DistributionName(
        filename=filename,
        kind="sdist",
        project=project,
        version=str(version),
        build="",
        tags=(),
        python_tag=SOURCE_TAG,
        archive_format="zip" if filename.endswith(".zip") else "tar.gz",
        identity=f"sdist:{project}:{canonicalize_version(version)}",
    )


def _check_project(project: str, filename: str) -> None:
    # packaging normalizes without asking whether the name was valid ("foo_-1.0" gives "foo-").
    if not is_normalized_name(project):
        raise InvalidUpload(f"Invalid filename {filename!r}: its project name is not valid.")


def _compressed(tags: frozenset[Tag]) -> tuple[str, str, str]:
    # The tags are all combinations of three sets, so the three sets, sorted, stand for them all.
    return (
        ".".join(sorted({tag.interpreter for tag in tags})),
        ".".join(sorted({tag.abi for tag in tags})),
        ".".join(sorted({tag.platform for tag in tags})),
    )
