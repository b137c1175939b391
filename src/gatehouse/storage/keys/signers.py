"""A signer from its URI: a key file, a cloud's key service, Vault, or a hardware token.

A bare path or `file2:<path>` is a key file. `awskms:`, `gcpkms:`, `azurekms:`, `hv:` and `hsm:` are
securesystemslib's, each with the libraries of an extra. Rules kept here: whatever those libraries raise
becomes one clear error for the operator; a key service that has moved on to another version of the key than
the URI names is an error, not a surprise; a signer signs a probe before anybody relies on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from securesystemslib.exceptions import UnsupportedLibraryError, UnverifiedSignatureError
from securesystemslib.signer import (
    AWSSigner,
    AzureSigner,
    GCPSigner,
    HSMSigner,
    Key,
    SecretsHandler,
    Signature,
    Signer,
    SSlibKey,
    VaultSigner,
)

from gatehouse.core.errors import OperatorError
from gatehouse.storage.keys.files import load_key

_T = TypeVar("_T")

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.ASCII | re.DOTALL)
_AZURE_PATH = re.compile(r"/keys/([^/]+)(?:/[^/]+)?", re.ASCII)
#: Signed to try a key: not JSON, so it can never be mistaken for metadata.
_PROBE = b"gatehouse: a probe of an online key; this is not metadata"
#: Which extra brings the libraries of a scheme.
_EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "awskms": "gatehouse-index[aws]",
        "hsm": "gatehouse-index[pkcs11]",
        "gcpkms": "securesystemslib[gcpkms]",
        "azurekms": "securesystemslib[azurekms]",
        "hv": "securesystemslib[vault]",
    }
)
#: Where the PIN of a hardware token comes from if nothing else is given; the sibling of PYKCS11LIB.
PIN_VARIABLE = "PYKCS11PIN"


class SignerError(OperatorError):
    """A signer cannot be opened, cannot sign, or may not sign for its role. The message names its URI."""

    code = "signer"


def open_signer(
    uri: str, public_key: Key | None = None, *, secrets_handler: SecretsHandler | None = None
) -> Signer:
    """The signer that a URI names.

    Args:
        uri: a path, `file2:<path>`, `awskms:<key>`, `gcpkms:<key version>`, `azurekms://<vault>/keys/<key>/<version>`,
            `hv:<key>/<version>`, or `hsm:[<key id>][?label=<token>]` (the library in `PYKCS11LIB`).
        public_key: the public part, if it is known; otherwise the key service is asked for it.
        secrets_handler: gives the PIN of a hardware token; by default the environment's `PYKCS11PIN`.

    Raises:
        OperatorError: the URI is wrong, an extra is missing, the service refuses, or a key file is unsafe.
    """
    scheme, rest = _split(uri)
    if scheme == "file2":
        return load_key(Path(rest), _sslib(uri, public_key))
    handler = secrets_handler or _pin_from_environment
    key = public_key or _import_key(scheme, uri, rest, handler)
    signer = _translated(scheme, uri, lambda: Signer.from_priv_key_uri(uri, key, handler))
    return _RemoteSigner(signer, scheme=scheme, uri=uri)


def public_key_of(uri: str, *, secrets_handler: SecretsHandler | None = None) -> Key:
    """The public part of the key that a URI names: what a ceremony lists.

    Raises:
        OperatorError: as `open_signer`.
    """
    scheme, rest = _split(uri)
    if scheme == "file2":
        return load_key(Path(rest)).public_key
    return _import_key(scheme, uri, rest, secrets_handler or _pin_from_environment)


def check_signer(signer: Signer, authorised_keyids: Collection[str], *, role: str = "its role") -> None:
    """Prove that a signer can sign and that the offline metadata lets it.

    Args:
        signer: the signer to try.
        authorised_keyids: the ids of the keys that may sign for the role.
        role: what to call the role in an error.

    Raises:
        OperatorError: the key is not authorised, does not sign, or signs what does not verify.
    """
    key = signer.public_key
    if key.keyid not in authorised_keyids:
        raise SignerError(
            f"The online key {key.keyid[:16]}… is not authorised for {role} by the offline metadata."
        )
    signature = signer.sign(_PROBE)
    try:
        key.verify_signature(signature, _PROBE)
    except UnverifiedSignatureError as error:
        raise SignerError(f"The signer for {role} signs with another key than {key.keyid[:16]}….") from error


class _RemoteSigner(Signer):
    """A signer behind a network or a token, whose failures are the operator's to mend."""

    def __init__(self, signer: Signer, *, scheme: str, uri: str) -> None:
        self._signer = signer
        self._scheme = scheme
        self._uri = uri

    @property
    def public_key(self) -> Key:
        return self._signer.public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        return open_signer(priv_key_uri, public_key, secrets_handler=secrets_handler)

    def sign(self, payload: bytes) -> Signature:
        return _translated(self._scheme, self._uri, lambda: self._signer.sign(payload))


def _split(uri: str) -> tuple[str, str]:
    match = _SCHEME.fullmatch(uri)
    if match is None:
        scheme, rest = "file2", uri
    else:
        scheme, rest = match[1], match[2]
    if scheme != "file2" and scheme not in _EXTRAS:
        known = ", ".join(f"{name}:" for name in ("file2", *_EXTRAS))
        raise SignerError(f"Signer {uri!r}: there is no scheme {scheme}: — use a path or one of {known}.")
    if scheme == "file2" and not rest:
        raise SignerError(f"Signer {uri!r} names no file.")
    return scheme, rest


def _import_key(scheme: str, uri: str, rest: str, handler: SecretsHandler) -> Key:
    importers: dict[str, Callable[[], tuple[str, SSlibKey]]] = {
        "awskms": lambda: AWSSigner.import_(rest),
        "gcpkms": lambda: GCPSigner.import_(rest),
        "azurekms": lambda: AzureSigner.import_(*_azure_names(uri)),
        "hv": lambda: VaultSigner.import_(rest.partition("/")[0]),
        "hsm": lambda: HSMSigner.import_(*_hsm_names(uri), handler),
    }
    found, key = _translated(scheme, uri, importers[scheme])
    # These two answer with the newest version of a key, whichever was named.
    if scheme in ("azurekms", "hv") and found != uri:
        raise SignerError(f"Signer {uri!r} is not the newest version of its key: name it, {found}.")
    return key


def _azure_names(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    match = _AZURE_PATH.fullmatch(parts.path)
    if match is None or not parts.hostname:
        raise SignerError(f"Signer {uri!r} is not azurekms://<vault>.vault.azure.net/keys/<key>/<version>.")
    return parts.hostname.partition(".")[0], match[1]


def _hsm_names(uri: str) -> tuple[int | None, str | None]:
    parts = urlsplit(uri)
    if parts.path and not parts.path.isdecimal():
        raise SignerError(f"Signer {uri!r} is not hsm:[<key id>][?label=<token>].")
    return int(parts.path) if parts.path else None, dict(parse_qsl(parts.query)).get("label")


def _pin_from_environment(secret: str) -> str:
    pin = os.environ.get(PIN_VARIABLE)
    if not pin:
        raise SignerError(f"The hardware token asks for its {secret}: set {PIN_VARIABLE}.")
    return pin


def _sslib(uri: str, key: Key | None) -> SSlibKey | None:
    if key is None or isinstance(key, SSlibKey):
        return key
    raise SignerError(f"Signer {uri!r} cannot be used with a key of type {key.keytype[:40]!r}.")


def _translated(scheme: str, uri: str, action: Callable[[], _T]) -> _T:
    try:
        return action()
    except OperatorError:
        raise
    except UnsupportedLibraryError as error:
        raise SignerError(f"Signer {uri!r} needs libraries that are not installed: {_EXTRAS[scheme]}.") from error
    except Exception as error:
        # All of them: securesystemslib says that its signers raise whatever their services' libraries raise.
        detail = " ".join(str(error).split())[:300] or type(error).__name__
        raise SignerError(f"Signer {uri!r} failed: {detail}.") from error
