"""What keeps staff's secrets secret: derived keys, sealed TOTP secrets, password hashes, tokens of forms.

- Every key is derived from one secret outside the database, by HKDF-SHA256 (RFC 5869) with a label of its own.
- A TOTP secret is sealed by AES-256-GCM with its owner's name as associated data, so that one cannot be put in
  another's place.
- Passwords are hashed by argon2id (RFC 9106). A name that does not exist costs the same hash as one that does.
- TOTP as RFC 6238: 30 seconds, 6 digits, one step of tolerance either way, each step once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from datetime import datetime

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatehouse.core.errors import OperatorError

#: RFC 9106 §4, the second recommended option, on one lane: 64 MiB and about a tenth of a second.
DEFAULT_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
STEP_SECONDS = 30
_FORM = b"\x01"
_NONCE_BYTES = 12
_CODE = re.compile(r"[0-9]{6}")


class StaffSecrets:
    """Derives, seals, hashes and compares. Holds no state but its keys."""

    def __init__(self, secret: bytes, hasher: PasswordHasher = DEFAULT_HASHER) -> None:
        """From the index's token secret, at least 32 bytes."""
        self._totp_key = _derive(secret, b"gatehouse staff: seal TOTP secrets, 1")
        self._form_key = _derive(secret, b"gatehouse staff: tokens of forms, 1")
        self._hasher = hasher
        self._nobodys_hash = _hash_that_nothing_matches(hasher)
        self._nobodys_totp = pyotp.random_base32()

    def hash_password(self, password: str) -> str:
        """The hash to keep of a password."""
        return self._hasher.hash(_normalized(password))

    def password_matches(self, password_hash: str | None, password: str) -> bool:
        """Whether a password is the one; None costs as much and is False."""
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, _normalized(password))
        except VerificationError:
            return False
        except InvalidHashError as error:
            raise OperatorError("A password hash in the database is damaged.") from error
        return password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def seal(self, totp: str, *, name: str) -> bytes:
        """A TOTP secret, sealed for its owner."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        # The first byte names this form, for the day when there is another.
        return _FORM + nonce + AESGCM(self._totp_key).encrypt(nonce, totp.encode("ascii"), name.encode())

    def unseal(self, sealed: bytes, *, name: str) -> str:
        """The TOTP secret of its owner.

        Raises:
            OperatorError: it was sealed with another key or for somebody else, or it is damaged.
        """
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return AESGCM(self._totp_key).decrypt(nonce, rest, name.encode()).decode("ascii")
        except (InvalidTag, ValueError) as error:
            raise OperatorError(
                f"The TOTP secret of {name!r} cannot be opened: has the token secret been replaced? "
                "`gatehouse user reset-mfa` gives a new one."
            ) from error

    def matching_step(self, sealed: bytes | None, code: str, *, name: str, now: datetime) -> int | None:
        """The newest TOTP step of which this is the code, one step of tolerance either way, or None.

        Without a sealed secret it costs as much and is None.
        """
        totp = pyotp.TOTP(self._nobodys_totp if sealed is None else self.unseal(sealed, name=name))
        given = "".join(code.split())
        step = int(now.timestamp()) // STEP_SECONDS
        found = None
        for each in (step - 1, step, step + 1):
            same = hmac.compare_digest(totp.generate_otp(each).encode(), given.encode())
            found = each if same else found
        return found if sealed is not None and _CODE.fullmatch(given) else None

    def form_token(self, session_token: str) -> str:
        """What a form must carry to be taken in this session; who does not know the session cannot make it."""
        return hmac.new(self._form_key, session_token.encode(), hashlib.sha256).hexdigest()


def new_totp_secret() -> str:
    """A new secret of 160 bits, in Base32."""
    return pyotp.random_base32()


def otpauth_uri(totp: str, *, name: str, issuer: str) -> str:
    """What an authenticator app reads to hold this secret."""
    return pyotp.TOTP(totp).provisioning_uri(name=name, issuer_name=issuer)


def digest_of(session_token: str) -> str:
    """What is kept of a session's token."""
    return hashlib.sha256(session_token.encode()).hexdigest()


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret)


def _normalized(password: str) -> bytes:
    # Two keyboards may spell one letter in two ways (RFC 8265 §4.2). Lone surrogates must not end in an error.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _hash_that_nothing_matches(hasher: PasswordHasher) -> str:
    """A hash of nobody's password, of today's costs; made without spending them."""

    def zeros(length: int) -> str:
        return base64.b64encode(bytes(length)).decode().rstrip("=")

    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${zeros(hasher.salt_len)}${zeros(hasher.hash_len)}"
