"""Waiting for what happens a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(truth: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait until something is true; fail if it does not come, on a busy machine either."""
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, f"not true within {seconds:.0f} s"
        time.sleep(0.02)
