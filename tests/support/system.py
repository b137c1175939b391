"""Programs that come from Debian packages: a test marked `system` skips without them, and under CI=true fails."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, package: str) -> str:
    """The path of a program; without it the test ends here, with the package that would bring it."""
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"There is no {program!r} here; the Debian package {package!r} brings it."
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
