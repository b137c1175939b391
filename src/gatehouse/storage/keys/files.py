"""Private keys in files: Ed25519, PKCS#8 PEM, readable by their owner.

Rules kept here: a key file appears whole or not at all, and never over another; one that somebody else can
read or replace is refused, because what it signs would prove nothing. Group members may read it (a secret
that Kubernetes mounts for a group looks so), nobody else may do anything.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import CryptoSigner, SSlibKey

from gatehouse.core.errors import OperatorError

#: Far more than any private key in PEM takes.
MAX_KEY_BYTES = 64 * 1024


class KeyFileError(OperatorError):
    """A key file is missing, unsafe, or not a key. The message names it."""

    code = "key-file"


def create_key(path: Path) -> CryptoSigner:
    """Make a new Ed25519 key and keep it in a new file (mode 0600); its folder is made with mode 0700.

    Raises:
        KeyFileError: the file exists, its folder may be written by others, or it cannot be written.
    """
    signer = CryptoSigner.generate_ed25519()
    try:
        _make_folder(path.parent)
        _write_new(path, signer.private_bytes)
    except OSError as error:
        raise KeyFileError(f"Key file {path} cannot be written: {error.strerror}.") from error
    return signer


def load_key(path: Path, public_key: SSlibKey | None = None) -> CryptoSigner:
    """The signer of a key file.

    Args:
        path: the file, a private key in PEM (PKCS#8), without a password.
        public_key: the key that it must be; by default the public part of the private key.

    Raises:
        KeyFileError: the file is missing, unreadable or unsafe, holds no usable key, or another one.
    """
    try:
        pem = _read(path)
    except OSError as error:
        raise KeyFileError(f"Key file {path} cannot be read: {error.strerror}.") from error
    try:
        return CryptoSigner(load_pem_private_key(pem, None), public_key)
    except KeyMismatchError as error:
        raise KeyFileError(f"Key file {path} holds another key than the one asked for.") from error
    except TypeError as error:
        raise KeyFileError(f"Key file {path} is protected by a password; online keys must not be.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"Key file {path} does not hold a private key in PEM that can sign as asked."
        ) from error


def load_or_create_key(path: Path) -> CryptoSigner:
    """The signer of a key file, made first if there is none. Of two processes that make it, both get the same.

    Raises:
        KeyFileError: as `load_key` and `create_key`.
    """
    if not os.path.lexists(path):
        try:
            return create_key(path)
        except KeyFileError:
            if not path.exists():
                raise
            # Another process was first: its key is the key.
    return load_key(path)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyFileError(f"Key folder {folder} may be written by others: set its mode to 0700.")


def _write_new(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # A crash up to here leaves a hidden file that nothing reads. A link, unlike a rename, never replaces.
        os.link(temporary, path)
    except FileExistsError as error:
        raise KeyFileError(f"Key file {path} exists already; a key is never overwritten.") from error
    finally:
        temporary.unlink()
    # A crash before the folder is synced may lose the name: the key is then made anew, and nothing used it yet.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a pipe put in the file's place would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        # Of the open file, not of the name: what is checked is what is read.
        _refuse_unsafe(path, os.fstat(descriptor))
        return os.read(descriptor, MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"Key file {path} is not a regular file.")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP):
        raise KeyFileError(f"Key file {path} is open to others than its owner: set its mode to 0600.")
    if status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(f"Key file {path} belongs to another user.")
    if status.st_size > MAX_KEY_BYTES:
        raise KeyFileError(f"Key file {path} is longer than {MAX_KEY_BYTES:,} bytes.")
