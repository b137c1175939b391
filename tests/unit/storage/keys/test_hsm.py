"""A hardware token, played by SoftHSM, signs the timestamp."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.storage.keys.signers import SignerError, check_signer, open_signer, public_key_of
from tests.support.tuf_repository import Repository, fixed_keys, online_signers

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN, PIN = "gatehouse-test", "123456"
pytestmark = pytest.mark.system


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A token of SoftHSM with a P-256 key under id 2; its URI."""
    if not LIBRARY.exists() or shutil.which("softhsm2-util") is None:
        reason = "the Debian package softhsm2 is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # The extra `pkcs11` is part of `dev`: where it is missing, that is a failure and not a reason to skip.
    pkcs11 = importlib.import_module("pkcs11")
    ec = importlib.import_module("pkcs11.util.ec")
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    monkeypatch.setenv("PYKCS11LIB", str(LIBRARY))
    monkeypatch.setenv("PYKCS11PIN", PIN)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "87654321"],
        check=True,
        capture_output=True,
    )
    library = pkcs11.lib(str(LIBRARY))
    library.reinitialize()
    with library.get_token(token_label=TOKEN).open(user_pin=PIN, rw=True) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: ec.encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        parameters.generate_keypair(id=b"\x02", label="timestamp", store=True)
    return f"hsm:2?label={TOKEN}"


def test_a_p256_key_in_a_token_signs_the_timestamp(token: str) -> None:
    signer = open_signer(token)
    key = public_key_of(token)
    check_signer(signer, {key.keyid}, role="timestamp")
    keys = replace(fixed_keys(), timestamp=key)
    repository = Repository(keys=keys, signers=replace(online_signers(), timestamp=signer))

    draft = repository.publish({repository.put("files/spam/spam-1.0.tar.gz")})

    assert key.scheme == "ecdsa-sha2-nistp256"
    assert draft.timestamp is not None
    assert [keyid for keyid, _ in draft.timestamp.role.signatures] == [key.keyid]


def test_a_wrong_pin_is_the_operators_to_mend(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_signer(token)
    monkeypatch.setenv("PYKCS11PIN", "000000")

    with pytest.raises(SignerError, match=r"hsm:2.* failed: "):
        signer.sign(b"text")


def test_a_token_that_is_not_there_is_named(token: str) -> None:
    with pytest.raises(SignerError, match="failed: No PKCS#11 token found for label other"):
        open_signer(token.replace(TOKEN, "other"))
