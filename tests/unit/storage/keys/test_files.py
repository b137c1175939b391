"""Key files: made once, whole, for their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from securesystemslib.signer import CryptoSigner

from gatehouse.storage.keys.files import MAX_KEY_BYTES, KeyFileError, create_key, load_key, load_or_create_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "online.pem"


def test_a_new_key_is_ed25519_for_its_owner_alone(path: Path) -> None:
    signer = create_key(path)

    assert signer.public_key.scheme == "ed25519"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert list(path.parent.iterdir()) == [path]


def test_the_mode_does_not_hang_on_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        create_key(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_kept_signs_as_what_was_made(path: Path) -> None:
    made, loaded = create_key(path), load_key(path)

    made.public_key.verify_signature(loaded.sign(b"text"), b"text")
    assert load_or_create_key(path).public_key == made.public_key


def test_a_key_is_never_overwritten(path: Path) -> None:
    create_key(path)
    before = path.read_bytes()

    with pytest.raises(KeyFileError, match=r"online.pem exists already"):
        create_key(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link_that_leads_nowhere_is_not_followed(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere.pem")

    with pytest.raises(KeyFileError, match="exists already"):
        create_key(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_or_create_key(path)
    assert not (path.parent / "elsewhere.pem").exists()


def test_of_many_that_make_a_key_at_once_all_get_the_same(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with ThreadPoolExecutor(8) as pool:
        keys = {signer.public_key.keyid for signer in pool.map(load_or_create_key, [path] * 16)}

    assert len(keys) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_others_may_write_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o770)

    with pytest.raises(KeyFileError, match=r"folder .*keys may be written by others"):
        create_key(path)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")

    for make in (create_key, load_or_create_key):
        with pytest.raises(KeyFileError, match=r"keys/online.pem cannot be written"):
            make(tmp_path / "keys" / "online.pem")


def open_to_all(path: Path) -> None:
    path.chmod(0o604)


def group_may_write(path: Path) -> None:
    path.chmod(0o620)


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def other_kind(path: Path) -> None:
    key = X25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def password(path: Path) -> None:
    key = CryptoSigner.generate_ed25519()._private_key
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def public_only(path: Path) -> None:
    key = CryptoSigner.generate_ecdsa().public_key.keyval["public"]
    path.write_text(key)


def too_long(path: Path) -> None:
    path.write_bytes(b" " * (MAX_KEY_BYTES + 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (open_to_all, "open to others than its owner: set its mode to 0600"),
        (group_may_write, "open to others than its owner"),
        (gone, "cannot be read: No such file"),
        (folder, "not a regular file"),
        (pipe, "not a regular file"),
        (empty, "does not hold a private key"),
        (cut, "does not hold a private key"),
        (other_kind, "does not hold a private key"),
        (public_only, "does not hold a private key"),
        (password, "protected by a password"),
        (too_long, "longer than"),
    ],
)
def test_a_file_that_is_no_safe_key_is_refused_by_name(
    path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    create_key(path)
    spoil(path)

    with pytest.raises(KeyFileError, match=message) as caught:
        load_key(path)
    assert str(path) in caught.value.message


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    create_key(path)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)

    with pytest.raises(KeyFileError, match="belongs to another user"):
        load_key(path)


def test_a_group_may_read_the_key(path: Path) -> None:
    made = create_key(path)
    path.chmod(0o440)

    assert load_key(path).public_key == made.public_key


def test_another_key_than_the_one_asked_for_is_refused(path: Path) -> None:
    create_key(path)

    with pytest.raises(KeyFileError, match="holds another key"):
        load_key(path, CryptoSigner.generate_ed25519().public_key)
    with pytest.raises(KeyFileError, match=r"can sign as asked|another key"):
        load_key(path, CryptoSigner.generate_ecdsa().public_key)
