"""The secret from which upload tokens are derived, in a file that its owner alone can read."""

from __future__ import annotations

from pathlib import Path

from gatehouse.core.errors import OperatorError

_SECRET_BYTES = 32


def read_secret(path: Path) -> bytes:
    """The secret of the upload tokens.

    Raises:
        OperatorError: there is none, it is too short, or others than its owner can read it.
    """
    try:
        secret = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise OperatorError(
            f"Cannot read the token secret {path}: {error.strerror}. Run `gatehouse init`."
        ) from error
    if mode & 0o077:
        raise OperatorError(f"Others can read the token secret {path}: run `chmod 600` on it.")
    if len(secret) < _SECRET_BYTES:
        raise OperatorError(f"The token secret {path} is shorter than {_SECRET_BYTES} bytes.")
    return secret
