"""Reading archives for screening, as tests ask for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

from gatehouse.malware.unpack.unpack import DEFAULT, Unpacked, UnpackLimits, unpack
from gatehouse.malware.views import Member

WHEEL_NAME = "sample-1.0-py3-none-any.whl"
SDIST_NAME = "sample-1.0.tar.gz"
ZIP_NAME = "sample-1.0.zip"


def read(
    data: bytes,
    filename: str = WHEEL_NAME,
    *,
    limits: UnpackLimits = DEFAULT,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Unpacked:
    """An archive as its filename says what it is."""
    kind: Literal["bdist_wheel", "sdist"] = "bdist_wheel" if filename.endswith(".whl") else "sdist"
    return unpack(
        io.BytesIO(data),
        kind=kind,
        archive_format="tar.gz" if filename.endswith(".tar.gz") else "zip",
        filename=filename,
        limits=limits,
        out_of_time=out_of_time,
    )


def codes(unpacked: Unpacked) -> set[str]:
    """The codes of all anomalies."""
    return {anomaly.code for anomaly in unpacked.anomalies}


def members_of(unpacked: Unpacked, path: str) -> list[Member]:
    """All members of that path."""
    return [member for member in unpacked.members if member.path == path]


def member_of(unpacked: Unpacked, path: str) -> Member:
    """The one member of that path."""
    (member,) = members_of(unpacked, path)
    return member


def reasons(unpacked: Unpacked) -> dict[str, str]:
    """Why each member that was not examined was not."""
    return {item.member: item.reason for item in unpacked.not_examined}
