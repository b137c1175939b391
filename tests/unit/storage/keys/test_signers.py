"""Signers by URI: each scheme, and what an operator reads when it does not work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import (
    AWSSigner,
    AzureSigner,
    CryptoSigner,
    GCPSigner,
    HSMSigner,
    Key,
    Signature,
    Signer,
    SSlibKey,
    VaultSigner,
)

from gatehouse.core.errors import OperatorError
from gatehouse.storage.keys.files import create_key
from gatehouse.storage.keys.signers import SignerError, check_signer, open_signer, public_key_of

REMOTE = {
    "awskms:alias/online": AWSSigner,
    "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1": GCPSigner,
    "azurekms://vault.vault.invalid/keys/online/7": AzureSigner,
    "hv:online/3": VaultSigner,
    "hsm:2?label=token": HSMSigner,
}
EXTRAS = {
    "awskms": "gatehouse-index[aws]",
    "gcpkms": "securesystemslib[gcpkms]",
    "azurekms": "securesystemslib[azurekms]",
    "hv": "securesystemslib[vault]",
    "hsm": "gatehouse-index[pkcs11]",
}


class Service:
    """Stands in for a key service: remembers what it was asked, answers with one key, may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, uri: str, *, found: str | None = None) -> None:
        self.key = CryptoSigner.generate_ecdsa()
        self.asked: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.uri = uri
        kind = REMOTE[uri]
        monkeypatch.setattr(kind, "import_", self.import_)
        monkeypatch.setattr(kind, "from_priv_key_uri", self.from_priv_key_uri)
        self.found = uri if found is None else found

    def import_(self, *arguments: Any) -> tuple[str, SSlibKey]:
        if self.failure is not None:
            raise self.failure
        self.asked.append(arguments)
        return self.found, self.key.public_key

    def from_priv_key_uri(self, uri: str, key: Key, handler: Any) -> Signer:
        if self.failure is not None:
            raise self.failure
        assert uri == self.uri
        assert key == self.key.public_key
        assert callable(handler)
        return _Remote(self)


class _Remote(CryptoSigner):
    def __init__(self, service: Service) -> None:
        super().__init__(service.key._private_key)
        self.service = service

    def sign(self, payload: bytes) -> Signature:
        if self.service.failure is not None:
            raise self.service.failure
        return super().sign(payload)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "online key#1.pem"
    create_key(path)
    return path


@pytest.mark.parametrize("prefix", ["", "file2:"])
def test_a_key_file_is_opened_by_its_path(key_file: Path, prefix: str) -> None:
    signer = open_signer(f"{prefix}{key_file}")

    assert public_key_of(f"{prefix}{key_file}") == signer.public_key
    assert open_signer(f"{prefix}{key_file}", signer.public_key).public_key == signer.public_key
    check_signer(signer, {signer.public_key.keyid})


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    for ask in (open_signer, public_key_of):
        with pytest.raises(OperatorError, match=r"none\.pem cannot be read: No such file"):
            ask(str(tmp_path / "none.pem"))


@pytest.mark.parametrize(
    "uri", ["file:/key.pem", "vault:key", "gnupg:abc", "s3://bucket/key", "http://x.invalid/key"]
)
def test_a_scheme_that_there_is_not_is_refused_with_those_that_there_are(uri: str) -> None:
    with pytest.raises(SignerError, match=r"there is no scheme .* use a path or one of file2:, awskms:, hsm:"):
        open_signer(uri)


@pytest.mark.parametrize("uri", ["", "file2:"])
def test_a_uri_that_names_nothing_is_refused(uri: str) -> None:
    with pytest.raises(SignerError, match="names no file"):
        open_signer(uri)


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("awskms:alias/online", ("alias/online",)),
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", None),
        ("azurekms://vault.vault.invalid/keys/online/7", ("vault", "online")),
        ("hv:online/3", ("online",)),
        ("hsm:2?label=token", (2, "token")),
    ],
)
def test_a_key_service_is_asked_for_the_key_that_the_uri_names(
    monkeypatch: pytest.MonkeyPatch, uri: str, asked: tuple[Any, ...] | None
) -> None:
    service = Service(monkeypatch, uri)

    signer = open_signer(uri)

    check_signer(signer, {service.key.public_key.keyid})
    assert public_key_of(uri) == signer.public_key
    expected = (uri.partition(":")[2],) if asked is None else asked
    assert [arguments[: len(expected)] for arguments in service.asked] == [expected, expected]


@pytest.mark.parametrize("uri", REMOTE)
def test_a_known_public_key_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    service = Service(monkeypatch, uri)

    open_signer(uri, service.key.public_key)

    assert service.asked == []


@pytest.mark.parametrize("uri", REMOTE)
def test_missing_libraries_name_the_extra_that_brings_them(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    service = Service(monkeypatch, uri)
    service.failure = UnsupportedLibraryError("boo")

    for ask in (open_signer, public_key_of):
        with pytest.raises(SignerError) as caught:
            ask(uri)
        assert EXTRAS[uri.partition(":")[0]] in caught.value.message
        assert uri in caught.value.message


@pytest.mark.parametrize("uri", [uri for uri in REMOTE if not uri.startswith("hsm:")])
def test_without_its_libraries_the_real_class_says_so_too(uri: str) -> None:
    modules = {"awskms": "boto3", "gcpkms": "google.cloud.kms", "azurekms": "azure.identity", "hv": "hvac"}
    scheme = uri.partition(":")[0]
    if modules[scheme].partition(".")[0] in sys.modules:
        pytest.skip(f"{modules[scheme]} is installed here")

    with pytest.raises(SignerError, match=r"needs libraries that are not installed"):
        open_signer(uri)


@pytest.mark.parametrize("uri", REMOTE)
def test_whatever_a_service_raises_is_one_line_for_the_operator(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    service = Service(monkeypatch, uri)
    signer = open_signer(uri)
    service.failure = RuntimeError("no\n  route" + "!" * 1000)

    for ask in (lambda: signer.sign(b""), lambda: open_signer(uri), lambda: public_key_of(uri)):
        with pytest.raises(SignerError, match="failed: no route!") as caught:
            ask()
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 500
        assert caught.value.__cause__ is service.failure


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("hv:online/3", "hv:online/4"),
        ("azurekms://vault.vault.invalid/keys/online/7", "azurekms://vault.vault.invalid/keys/online/8"),
    ],
)
def test_a_key_that_has_a_newer_version_is_not_taken_in_silence(
    monkeypatch: pytest.MonkeyPatch, uri: str, found: str
) -> None:
    Service(monkeypatch, uri, found=found)

    with pytest.raises(SignerError, match=f"not the newest version of its key: name it, {found}"):
        open_signer(uri)


@pytest.mark.parametrize(
    "uri", ["azurekms:vault/online", "azurekms://vault.vault.invalid/online", "hsm:two", "hsm:²"]
)
def test_a_uri_that_its_scheme_does_not_take_is_refused(uri: str) -> None:
    with pytest.raises(SignerError, match=r"is not (azurekms://|hsm:\[)"):
        open_signer(uri)


def test_a_token_without_a_pin_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYKCS11PIN", raising=False)
    uri = "hsm:2?label=token"
    service = Service(monkeypatch, uri)

    def ask_for_pin(_id: int, _label: str, handler: Any) -> tuple[str, SSlibKey]:
        handler("pin")
        return uri, service.key.public_key

    monkeypatch.setattr(HSMSigner, "import_", ask_for_pin)
    with pytest.raises(SignerError, match="asks for its pin: set PYKCS11PIN"):
        open_signer(uri)
    monkeypatch.setenv("PYKCS11PIN", "1234")
    assert open_signer(uri).public_key == service.key.public_key


def test_a_key_that_is_not_authorised_is_refused_before_it_signs() -> None:
    class Silent(CryptoSigner):
        """Fails the test if it is asked to sign."""

        def sign(self, payload: bytes) -> Signature:
            raise AssertionError(payload)

    signer = Silent(CryptoSigner.generate_ed25519()._private_key)

    with pytest.raises(SignerError, match="not authorised for timestamp by the offline metadata"):
        check_signer(signer, {"0" * 64}, role="timestamp")


def test_a_signer_that_signs_with_another_key_is_refused() -> None:
    class Liar(CryptoSigner):
        """Signs with a key that is not the one it shows."""

        def sign(self, payload: bytes) -> Signature:
            return Signature(self.public_key.keyid, CryptoSigner.generate_ed25519().sign(payload).signature)

    liar = Liar(CryptoSigner.generate_ed25519()._private_key)

    with pytest.raises(SignerError, match="signs with another key"):
        check_signer(liar, {liar.public_key.keyid})
