"""The home folder of an embedded gate: one process at a time owns it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatehouse.core.errors import OperatorError


@contextmanager
def owned(home: Path) -> Iterator[None]:
    """Own the home while the block runs. The lock dies with the process, however it dies.

    Raises:
        OperatorError: another process owns it, or it cannot be written.
    """
    try:
        file = (home / "lock").open("a")
    except OSError as error:
        raise OperatorError(f"Cannot write in the home {home}: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperatorError(f"Another gatehouse serves from {home} already.") from error
        yield
