"""The story of staff: who may log in, how they do, and how long it lasts.

- A log-in takes a name, a password and a TOTP code (RFC 6238). Whatever is wrong, the sentence is the same, and
  so is the work: an unknown, locked or disabled name costs one argon2id hash like any other.
- After five failures in a row the account is locked for 15 minutes, and after each further one for twice as long,
  up to a day. A success, or new credentials from the command line, end that. A TOTP code opens once.
- The hash is computed outside of any transaction; counting, the lock and the spent TOTP step are settled under the
  row's lock, so that attempts made at once cannot pass each other.
- A session ends after 30 minutes without use and after 12 hours in any case; the database knows its SHA-256 only.
- Each attempt stands in the audit log with its cause. A name that does not exist is not written down: it may be
  a password in the wrong field.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher

from gatehouse.core.clock import Clock
from gatehouse.core.errors import CallerError, Conflict, NotAuthenticated, NotFound
from gatehouse.gate.ports import AuditEntry, Database, StaffMember, StaffSession, Transaction
from gatehouse.gate.staff_secrets import DEFAULT_HASHER, StaffSecrets, digest_of, new_totp_secret, otpauth_uri

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
FREE_FAILURES = 5
FIRST_LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(days=1)
MIN_PASSWORD = 12
MAX_PASSWORD = 1024
COMMAND_LINE = "command line"
REFUSED = "Name, password or code are not right, or the account is locked. Nothing more is said here."

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_CODE = 20
#: A write for every page would make each wait for one more commit.
_USE_IS_NOTED_EVERY = timedelta(minutes=1)
#: How often the lock doubles before it is the longest.
_DOUBLINGS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """What an authenticator app needs; shown once. `uri` is an `otpauth:` address that holds the secret."""

    name: str
    secret: str
    uri: str


class Staff:
    """Makes members, lets them in and out. Safe to use from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        secret: bytes,
        issuer: str,
        hasher: PasswordHasher = DEFAULT_HASHER,
    ) -> None:
        """Keeps nothing but its keys.

        Args:
            database: where staff are.
            clock: tells the time.
            secret: the index's token secret, at least 32 bytes; keys of their own are derived from it.
            issuer: what an authenticator app shows beside the name.
            hasher: what passwords cost; tests take a cheap one.
        """
        self._database = database
        self._clock = clock
        self._secrets = StaffSecrets(secret, hasher)
        self._issuer = issuer

    def create(self, name: str, password: str, *, actor: str = COMMAND_LINE) -> Enrolment:
        """Make a member.

        Raises:
            CallerError: the name or the password is not one that is taken.
            Conflict: the name is taken.
        """
        check_name(name)
        check_password(password, name=name)
        totp = new_totp_secret()
        password_hash = self._secrets.hash_password(password)
        now = self._clock.now()
        with self._database.write() as transaction:
            transaction.staff.add(
                name=name, password_hash=password_hash, totp_sealed=self._secrets.seal(totp, name=name), at=now
            )
            _audit(transaction, now, actor, "user:create", user=name)
        return self._enrolment(name, totp)

    def log_in(self, name: str, password: str, code: str, *, remote: str | None = None) -> str:
        """Begin a session.

        Args:
            name: who, in any case of letters.
            password: their password.
            code: what their authenticator shows now.
            remote: from which address, for the audit log.

        Returns:
            The session's token, for a cookie. It is kept nowhere.

        Raises:
            NotAuthenticated: no; for whichever reason, in the same words and after the same work.
        """
        now = self._clock.now()
        name = name.strip().lower() if _NAME.fullmatch(name.strip().lower()) else ""
        with self._database.read() as transaction:
            member = transaction.staff.find(name) if name else None
        attempt = _Attempt(
            member=member,
            password_right=self._secrets.password_matches(
                None if member is None else member.password_hash, password[: MAX_PASSWORD + 1]
            ),
            step=self._secrets.matching_step(
                None if member is None else member.totp_sealed, code[:_MAX_CODE], name=name, now=now
            ),
        )
        renewed = self._renewed_hash(attempt, password)
        token = secrets.token_urlsafe(32)
        with self._database.write() as transaction:
            current = transaction.staff.find(name, lock=True) if name else None
            cause = attempt.fault(current, now)
            if cause is None and current is not None and attempt.step is not None:
                if renewed is not None:
                    transaction.staff.set_credentials(current.id, password_hash=renewed)
                transaction.staff.note_success(current.id, totp_step=attempt.step)
                transaction.staff.add_session(
                    StaffSession(
                        token_sha256=digest_of(token),
                        staff_id=current.id,
                        created_at=now,
                        seen_at=now,
                        expires_at=now + ABSOLUTE,
                    )
                )
                _audit(transaction, now, current.name, "log-in", remote=remote)
                return token
            _note_refusal(transaction, current, cause or "unknown name", now=now, remote=remote)
        raise NotAuthenticated(REFUSED)

    def authenticate(self, session_token: str) -> StaffMember:
        """Whose session this is.

        Raises:
            NotAuthenticated: there is none, or it has ended, or its owner may no longer log in.
        """
        now = self._clock.now()
        if _TOKEN.fullmatch(session_token) is None:
            raise NotAuthenticated("There is no such session.")
        digest = digest_of(session_token)
        with self._database.read() as transaction:
            session = transaction.staff.find_session(digest)
            member = None if session is None else transaction.staff.get(session.staff_id)
        if session is None or member is None or member.disabled_at is not None:
            raise NotAuthenticated("There is no such session.")
        if now >= session.expires_at or now - session.seen_at >= IDLE:
            raise NotAuthenticated("The session has ended.")
        if now - session.seen_at >= _USE_IS_NOTED_EVERY:
            with self._database.write() as transaction:
                transaction.staff.touch_session(digest, at=now)
        return member

    def log_out(self, session_token: str, *, remote: str | None = None) -> None:
        """End a session. One that has ended already is no fault."""
        digest = digest_of(session_token)
        with self._database.write() as transaction:
            session = transaction.staff.find_session(digest)
            member = None if session is None else transaction.staff.get(session.staff_id)
            transaction.staff.end_session(digest)
            if member is not None:
                _audit(transaction, self._clock.now(), member.name, "log-out", remote=remote)

    def form_token(self, session_token: str) -> str:
        """What every form of a session carries, against forms that other sites send."""
        return self._secrets.form_token(session_token)

    def reset_mfa(self, name: str, *, actor: str = COMMAND_LINE) -> Enrolment:
        """Give a new TOTP secret; the old one and all sessions end.

        Raises:
            NotFound: there is no such member.
        """
        totp = new_totp_secret()
        sealed = self._secrets.seal(totp, name=name)

        def change(transaction: Transaction, member: StaffMember, _now: datetime) -> None:
            transaction.staff.set_credentials(member.id, totp_sealed=sealed)

        self._change(name, "user:reset-mfa", change, actor=actor)
        return self._enrolment(name, totp)

    def set_password(self, name: str, password: str, *, actor: str = COMMAND_LINE) -> None:
        """Give a new password; all sessions end.

        Raises:
            CallerError: the password is not one that is taken.
            NotFound: there is no such member.
        """
        check_password(password, name=name)
        password_hash = self._secrets.hash_password(password)

        def change(transaction: Transaction, member: StaffMember, _now: datetime) -> None:
            transaction.staff.set_credentials(member.id, password_hash=password_hash)

        self._change(name, "user:set-password", change, actor=actor)

    def disable(self, name: str, *, actor: str = COMMAND_LINE) -> None:
        """Let them no longer log in; all sessions end.

        Raises:
            NotFound: there is no such member.
            Conflict: they are disabled already.
        """

        def change(transaction: Transaction, member: StaffMember, now: datetime) -> None:
            if member.disabled_at is not None:
                raise Conflict(f"The user {name!r} is disabled already.")
            transaction.staff.disable(member.id, at=now)

        self._change(name, "user:disable", change, actor=actor)

    def list(self) -> list[StaffMember]:
        """Everybody, by name."""
        with self._database.read() as transaction:
            return transaction.staff.all()

    def _change(
        self,
        name: str,
        action: str,
        change: Callable[[Transaction, StaffMember, datetime], None],
        *,
        actor: str,
    ) -> None:
        now = self._clock.now()
        with self._database.write() as transaction:
            member = transaction.staff.find(name, lock=True)
            if member is None:
                raise NotFound(f"There is no user {name[:64]!r}.")
            change(transaction, member, now)
            transaction.staff.end_sessions_of(member.id)
            _audit(transaction, now, actor, action, user=name)

    def _enrolment(self, name: str, totp: str) -> Enrolment:
        return Enrolment(name=name, secret=totp, uri=otpauth_uri(totp, name=name, issuer=self._issuer))

    def _renewed_hash(self, attempt: _Attempt, password: str) -> str | None:
        member = attempt.member
        if member is None or not attempt.password_right or attempt.step is None:
            return None
        return self._secrets.hash_password(password) if self._secrets.outdated(member.password_hash) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """What was found out about a log-in before the account's row was locked."""

    member: StaffMember | None
    password_right: bool
    step: int | None

    def fault(self, current: StaffMember | None, now: datetime) -> str | None:
        """Why the attempt fails, by the locked row; None: it succeeds."""
        if current is None or self.member is None:
            return "unknown name"
        if current.disabled_at is not None:
            return "disabled"
        if current.locked_until is not None and now < current.locked_until:
            return "locked"
        changed = (current.password_hash, current.totp_sealed) != (
            self.member.password_hash,
            self.member.totp_sealed,
        )
        if not self.password_right or changed:
            return "wrong password"
        if self.step is None:
            return "wrong code"
        return "code used before" if self.step <= current.totp_last_step else None


def check_name(name: str) -> None:
    """Refuse a name that nobody may have.

    Raises:
        CallerError: it is not 1 to 64 of `a-z 0-9 . _ @ -`, with a letter or digit at both ends.
    """
    if _NAME.fullmatch(name) is None:
        raise CallerError(
            f"The user name {name[:64]!r} is not possible: use 1 to 64 of a-z, 0-9, '.', '_', '@' and '-', "
            "with a letter or digit at both ends."
        )


def check_password(password: str, *, name: str) -> None:
    """Refuse a password that is too weak for what it opens (NIST SP 800-63B §3.1.1: length, not recipes).

    Raises:
        CallerError: it is too short, too long, or the name itself.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise CallerError(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    if password.strip().lower() == name.lower():
        raise CallerError("A password must not be the name.")


def lock_after(failures: int) -> timedelta | None:
    """For how long an account is locked after so many failures in a row, or None."""
    beyond = failures - FREE_FAILURES
    if beyond < 0:
        return None
    return min(FIRST_LOCK * (1 << min(beyond, _DOUBLINGS)), LONGEST_LOCK)


def _note_refusal(
    transaction: Transaction, member: StaffMember | None, cause: str, *, now: datetime, remote: str | None
) -> None:
    # While it is locked nothing is counted: else whoever keeps trying would keep the owner out for good.
    if member is not None and cause not in {"locked", "disabled"}:
        span = lock_after(member.failures + 1)
        transaction.staff.note_failure(member.id, locked_until=None if span is None else now + span)
    actor = "unknown" if member is None else member.name
    _audit(transaction, now, actor, "log-in:refused", remote=remote, cause=cause)


def _audit(
    transaction: Transaction, at: datetime, actor: str, action: str, *, remote: str | None = None, **detail: str
) -> None:
    transaction.audit.append(AuditEntry(at=at, actor=actor, action=action, detail=detail, remote=remote))
