"""Places where metadata lies, for what must hold of every store: a folder, a bucket in memory, one of moto's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatehouse.storage.blobs.metadata import FolderMetadataStore
from gatehouse.storage.s3.bucket import BotoBucket
from gatehouse.storage.s3.metadata import S3MetadataStore
from gatehouse.tuf.ports import MetadataStore
from tests.support.buckets import MemoryBucket, new_prefix

__all__ = ["NO_NAMES", "MetadataPlace", "folder_place", "memory_place", "metadata_place", "moto_place"]

#: What no metadata file is called.
NO_NAMES = [
    "",
    "..",
    ".store",
    ".store/epoch",
    "../1.root.json",
    "1.root.json/",
    "/1.root.json",
    "1.root.json\n",
    "1.root.json\x00",
    "1.ROOT.json",
    "1.root.JSON",
    "1.-root.json",
    "1.root-.json",
    "1.a--b.json",
    "1..json",
    "root.json",
    "-1.root.json",
    "1234567890123.root.json",
    "٣.root.json",
    "1." + "a" * 300 + ".json",
    "timestamp.json/..",
    "1.root.json.tmp",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataPlace:
    """A place that stores open, each as a process of its own would; and what somebody does behind their backs."""

    open: Callable[[], MetadataStore]
    overwrite: Callable[[str, bytes], object]
    remove: Callable[[str], object]


def folder_place(root: Path) -> MetadataPlace:
    """A folder."""

    def overwrite(name: str, data: bytes) -> None:
        (root / name).write_bytes(data)

    return MetadataPlace(
        open=lambda: FolderMetadataStore(root), overwrite=overwrite, remove=lambda name: (root / name).unlink()
    )


def memory_place(bucket: MemoryBucket | None = None) -> MetadataPlace:
    """A bucket in memory."""
    chosen = bucket or MemoryBucket()

    def overwrite(name: str, data: bytes) -> None:
        found = chosen.get(f"tuf/{name}")
        headers = {"ContentType": "", "CacheControl": ""}
        assert chosen.put(f"tuf/{name}", data, over=None if found is None else found.tag, headers=headers)

    return MetadataPlace(
        open=lambda: S3MetadataStore(chosen, "tuf"),
        overwrite=overwrite,
        remove=lambda name: chosen.delete([f"tuf/{name}"]),
    )


def moto_place(bucket: BotoBucket) -> MetadataPlace:
    """A bucket of moto's."""
    prefix = new_prefix()

    def overwrite(name: str, data: bytes) -> None:
        found = bucket.get(f"{prefix}/{name}")
        assert bucket.put(f"{prefix}/{name}", data, over=None if found is None else found.tag, headers={})

    return MetadataPlace(
        open=lambda: S3MetadataStore(bucket, prefix, threads=4),
        overwrite=overwrite,
        remove=lambda name: bucket.delete([f"{prefix}/{name}"]),
    )


@pytest.fixture(params=["folder", "memory", "moto"])
def metadata_place(request: pytest.FixtureRequest, tmp_path: Path) -> MetadataPlace:
    """An empty place; the test runs once on each kind."""
    if request.param == "folder":
        return folder_place(tmp_path / "metadata")
    if request.param == "memory":
        return memory_place()
    return moto_place(request.getfixturevalue("moto_bucket"))
