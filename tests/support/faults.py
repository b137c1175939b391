"""Disks that fail when a test says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str, error: int, *, after: int = 0) -> Iterator[None]:
    """Inside the block, a function of `os` fails with an errno, from its call number `after` on (0: the first)."""
    real = getattr(os, call)
    calls = 0

    def fail(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(error, os.strerror(error))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        yield
