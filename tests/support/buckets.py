"""Buckets for tests: one in memory that is exact and fast, and real ones behind moto's server (fixtures)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from threading import Lock
from typing import Any

import pytest

from gatehouse.core.errors import StoreError
from gatehouse.storage.s3.bucket import BotoBucket, Listed, Read
from tests.support.moto_server import ENVIRONMENT, running_moto

__all__ = ["BUCKET", "MemoryBucket", "failing", "moto_bucket", "moto_server", "new_prefix", "open_bucket"]

BUCKET = "gatehouse-tests"
_numbers = count(1)


class MemoryBucket:
    """What S3 promises, in memory: each write is one step, its condition with it.

    Attributes:
        objects: content and tag by key.
        writes: every key that was written, in order.
        before_put: called before a write takes place, with its key; a test stops or fails there.
        after_put: called when it has taken place and nobody has been told yet.
        ignores: the conditions that it does not honour, of "create", "replace".
    """

    def __init__(self, *, ignores: Iterable[str] = ()) -> None:
        self.objects: dict[str, Read] = {}
        self.writes: list[str] = []
        self.before_put: Callable[[str], None] = lambda _key: None
        self.after_put: Callable[[str], None] = lambda _key: None
        self.ignores = frozenset(ignores)
        self._lock = Lock()
        self._tags = count(1)

    def get(self, key: str) -> Read | None:
        return self.objects.get(key)

    def put(self, key: str, data: bytes, *, over: str | None, headers: Mapping[str, str]) -> str | None:
        assert set(headers) == {"ContentType", "CacheControl"}
        self.before_put(key)
        with self._lock:
            found = self.objects.get(key)
            holds = (found is None) if over is None else (found is not None and found.tag == over)
            if not holds and ("create" if over is None else "replace") not in self.ignores:
                return None
            self.writes.append(key)
            read = self.objects[key] = Read(data=data, tag=str(next(self._tags)))
        self.after_put(key)
        return read.tag

    def list(self, prefix: str) -> Iterator[Listed]:
        for key, read in sorted(self.objects.items()):
            if key.startswith(prefix) and "/" not in key.removeprefix(prefix):
                yield Listed(key=key, size=len(read.data))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)


def failing(when: Callable[[str], bool], words: str) -> Callable[[str], None]:
    """For `before_put` and `after_put`: a StoreError for some keys."""

    def fail(key: str) -> None:
        if when(key):
            raise StoreError(words)

    return fail


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of an S3 for the session; the environment has its credentials."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with running_moto() as address:
            yield address


@pytest.fixture(scope="session")
def moto_bucket(moto_server: str) -> BotoBucket:
    """A bucket there, with small pages. All tests share it: each takes a prefix of its own (`new_prefix`)."""
    return open_bucket(moto_server, page=3)


def open_bucket(address: str, **options: Any) -> BotoBucket:
    """The adapter of the bucket, which is made if it is missing."""
    bucket = BotoBucket(BUCKET, endpoint=address, **options)
    bucket._client.create_bucket(Bucket=BUCKET)
    return bucket


def new_prefix() -> str:
    """A prefix that no other test has."""
    return f"index-{next(_numbers)}/tuf"
