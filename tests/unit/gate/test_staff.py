"""Who may log in, how, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from gatehouse.core.errors import CallerError, Conflict, NotAuthenticated, NotFound, OperatorError
from gatehouse.gate.staff import ABSOLUTE, IDLE, MAX_PASSWORD, REFUSED, lock_after
from gatehouse.gate.staff_secrets import DEFAULT_HASHER, StaffSecrets
from gatehouse.storage.sql.database import SqlDatabase
from tests.support.staff import CHEAP, PASSWORD, SECRET, Reception, reception

WRONG = "incorrect horse battery"


@pytest.fixture
def desk(sqlite_database: SqlDatabase) -> Reception:
    return reception(sqlite_database)


@pytest.fixture
def alice(desk: Reception) -> str:
    """A member's TOTP secret."""
    return desk.staff.create("alice", PASSWORD).secret


def causes(database: SqlDatabase) -> list[tuple[str, str, Any]]:
    with database.read() as tx:
        entries = tx.audit.recent(limit=100)
    return [(entry.actor, entry.action, entry.detail.get("cause")) for entry in reversed(entries)]


def fail(desk: Reception, times: int, *, name: str = "alice") -> None:
    for _ in range(times):
        with pytest.raises(NotAuthenticated):
            desk.staff.log_in(name, WRONG, "000000")


def test_name_password_and_code_open_a_session(desk: Reception, alice: str) -> None:
    token = desk.staff.log_in(" Alice ", PASSWORD, desk.code(alice), remote="127.0.0.1")
    assert desk.staff.authenticate(token).name == "alice"


def test_an_authenticator_gets_all_it_needs_from_the_otpauth_address(desk: Reception) -> None:
    enrolment = desk.staff.create("bob", PASSWORD)
    address = urlsplit(enrolment.uri)
    assert (address.scheme, address.netloc, address.path) == ("otpauth", "totp", "/Gatehouse%20test:bob")
    assert parse_qs(address.query) == {"secret": [enrolment.secret], "issuer": ["Gatehouse test"]}


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_clock_may_be_one_step_off(desk: Reception, alice: str, steps: int) -> None:
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice, steps=steps))


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_clock_may_not_be_two_steps_off(desk: Reception, alice: str, steps: int) -> None:
    with pytest.raises(NotAuthenticated):
        desk.staff.log_in("alice", PASSWORD, desk.code(alice, steps=steps))


def test_a_code_may_be_typed_in_two_groups(desk: Reception, alice: str) -> None:
    code = desk.code(alice)
    assert desk.staff.log_in("alice", PASSWORD, f"{code[:3]} {code[3:]}")


def test_a_code_opens_once_and_so_does_every_earlier_one(
    sqlite_database: SqlDatabase, desk: Reception, alice: str
) -> None:
    desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    for steps in (0, -1):
        with pytest.raises(NotAuthenticated):
            desk.staff.log_in("alice", PASSWORD, desk.code(alice, steps=steps))
    assert causes(sqlite_database)[-1] == ("alice", "log-in:refused", "code used before")
    desk.next_step()
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice))


def test_a_code_that_four_send_at_once_opens_once(database: SqlDatabase) -> None:
    desk = reception(database)
    code = desk.code(desk.staff.create("alice", PASSWORD).secret)

    def attempt(_: int) -> bool:
        try:
            desk.staff.log_in("alice", PASSWORD, code)
        except NotAuthenticated:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1
    assert desk.staff.list()[0].failures == 3


def test_failures_at_once_are_all_counted_and_none_passes_the_lock(database: SqlDatabase) -> None:
    desk = reception(database)
    desk.staff.create("alice", PASSWORD)
    with ThreadPoolExecutor(8) as pool:
        for attempt in [pool.submit(desk.staff.log_in, "alice", WRONG, "000000") for _ in range(8)]:
            with pytest.raises(NotAuthenticated):
                attempt.result()
    assert desk.staff.list()[0].failures == 5
    refusals = [cause for _, action, cause in causes(database) if action == "log-in:refused"]
    assert sorted(refusals) == ["locked"] * 3 + ["wrong password"] * 5


def test_all_refusals_are_in_the_same_words_and_have_their_cause_in_the_log(
    sqlite_database: SqlDatabase, desk: Reception, alice: str
) -> None:
    desk.staff.create("gone", PASSWORD)
    desk.staff.disable("gone")
    good = desk.code(alice)
    for name, password, code in (
        ("nobody", PASSWORD, good),
        ("not a name\x00", PASSWORD, good),
        ("alice", WRONG, good),
        ("alice", "x" * 5000, good),
        ("alice", PASSWORD, "000000" if good != "000000" else "111111"),
        ("alice", PASSWORD, "\u0661" * 6),
        ("alice", PASSWORD, ""),
        ("gone", PASSWORD, good),
    ):
        with pytest.raises(NotAuthenticated) as refused:
            desk.staff.log_in(name, password, code, remote="127.0.0.1")
        assert refused.value.message == REFUSED
    with pytest.raises(NotAuthenticated, match="Name, password or code"):
        desk.staff.log_in("alice", PASSWORD, good)
    assert causes(sqlite_database)[3:] == [
        ("unknown", "log-in:refused", "unknown name"),
        ("unknown", "log-in:refused", "unknown name"),
        ("alice", "log-in:refused", "wrong password"),
        ("alice", "log-in:refused", "wrong password"),
        ("alice", "log-in:refused", "wrong code"),
        ("alice", "log-in:refused", "wrong code"),
        ("alice", "log-in:refused", "wrong code"),
        ("gone", "log-in:refused", "disabled"),
        ("alice", "log-in:refused", "locked"),
    ]


def test_an_unknown_or_locked_name_costs_the_same_hash_as_a_known_one(desk: Reception, alice: str) -> None:
    fail(desk, 5)
    for name in ("alice", "nobody", "", "not a name"):
        with (
            mock.patch.object(
                PasswordHasher, "verify", autospec=True, side_effect=PasswordHasher.verify
            ) as verify,
            pytest.raises(NotAuthenticated),
        ):
            desk.staff.log_in(name, PASSWORD, desk.code(alice))
        (call,) = verify.call_args_list
        costs = call.args[1].split("$")[:4]
        assert costs == ["", "argon2id", "v=19", "m=8,t=1,p=1"]


def test_a_name_that_does_not_exist_is_not_written_down(sqlite_database: SqlDatabase, desk: Reception) -> None:
    typed_in_the_wrong_field = "my-secret-password"
    fail(desk, 1, name=typed_in_the_wrong_field)
    with sqlite_database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM audit_log")).all()
    assert rows
    assert typed_in_the_wrong_field not in str(rows)


def test_five_failures_lock_for_a_quarter_of_an_hour(desk: Reception, alice: str) -> None:
    fail(desk, 5)
    desk.clock.pass_by(timedelta(minutes=14, seconds=59))
    with pytest.raises(NotAuthenticated):
        desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    desk.clock.pass_by(timedelta(seconds=1))
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    fail(desk, 4)
    desk.next_step()
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice)), "a success starts the count anew"


def test_each_further_failure_doubles_the_lock_up_to_a_day(desk: Reception, alice: str) -> None:
    fail(desk, 5)
    desk.clock.pass_by(timedelta(minutes=15))
    fail(desk, 1)
    desk.clock.pass_by(timedelta(minutes=29))
    with pytest.raises(NotAuthenticated):
        desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    desk.clock.pass_by(timedelta(minutes=1))
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    assert [lock_after(count) for count in (4, 5, 7, 100_000)] == [
        None,
        timedelta(minutes=15),
        timedelta(hours=1),
        timedelta(days=1),
    ]


def test_whoever_keeps_trying_does_not_lengthen_the_lock(desk: Reception, alice: str) -> None:
    fail(desk, 20)
    desk.clock.pass_by(timedelta(minutes=15))
    assert desk.staff.log_in("alice", PASSWORD, desk.code(alice))


@pytest.mark.parametrize("way_out", ["reset_mfa", "set_password"])
def test_new_credentials_end_a_lock_and_all_sessions(desk: Reception, alice: str, way_out: str) -> None:
    token = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    fail(desk, 5)
    desk.next_step()
    if way_out == "reset_mfa":
        alice = desk.staff.reset_mfa("alice").secret
        password = PASSWORD
    else:
        password = "another battery staple"
        desk.staff.set_password("alice", password)
    with pytest.raises(NotAuthenticated):
        desk.staff.authenticate(token)
    assert desk.staff.log_in("alice", password, desk.code(alice))


def test_the_old_credentials_open_nothing_any_more(desk: Reception, alice: str) -> None:
    new = desk.staff.reset_mfa("alice").secret
    desk.staff.set_password("alice", "another battery staple")
    for password, secret in ((PASSWORD, new), ("another battery staple", alice)):
        with pytest.raises(NotAuthenticated):
            desk.staff.log_in("alice", password, desk.code(secret))
    assert desk.staff.log_in("alice", "another battery staple", desk.code(new)), "the first code of a new secret"


def test_a_session_ends_after_half_an_hour_without_use(desk: Reception, alice: str) -> None:
    token = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    for _ in range(3):
        desk.clock.pass_by(IDLE - timedelta(minutes=1))
        assert desk.staff.authenticate(token).name == "alice"
    desk.clock.pass_by(IDLE)
    with pytest.raises(NotAuthenticated, match="ended"):
        desk.staff.authenticate(token)


def test_a_session_ends_after_twelve_hours_in_any_case(desk: Reception, alice: str) -> None:
    token = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    for _ in range(int(ABSOLUTE / IDLE) * 2 - 1):
        desk.clock.pass_by(IDLE / 2)
        assert desk.staff.authenticate(token).name == "alice"
    desk.clock.pass_by(IDLE / 2)
    with pytest.raises(NotAuthenticated, match="ended"):
        desk.staff.authenticate(token)


def test_a_session_ends_with_a_log_out_or_when_its_owner_is_disabled(desk: Reception, alice: str) -> None:
    first = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    desk.next_step()
    second = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    assert first != second
    desk.staff.log_out(first)
    desk.staff.log_out(first)
    with pytest.raises(NotAuthenticated):
        desk.staff.authenticate(first)
    assert desk.staff.authenticate(second).name == "alice"
    desk.staff.disable("alice")
    with pytest.raises(NotAuthenticated):
        desk.staff.authenticate(second)
    with pytest.raises(Conflict):
        desk.staff.disable("alice")


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "a" * 5000, "\x00" * 43, "ä" * 43])
def test_what_is_no_session_is_none(desk: Reception, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        desk.staff.authenticate(token)


def test_the_database_holds_nothing_that_opens(sqlite_database: SqlDatabase, desk: Reception, alice: str) -> None:
    token = desk.staff.log_in("alice", PASSWORD, desk.code(alice))
    with sqlite_database.engine.connect() as connection:
        rows = [
            str(row)
            for table in ("staff", "staff_sessions", "audit_log")
            for row in connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608 - our own names
        ]
    assert len(rows) >= 4
    for secret in (PASSWORD, alice, token):
        assert secret not in "\n".join(rows)


def test_a_totp_secret_opens_with_its_key_and_for_its_owner_only(sqlite_database: SqlDatabase) -> None:
    mine = StaffSecrets(SECRET, CHEAP)
    sealed = mine.seal("JBSWY3DPEHPK3PXP", name="alice")
    assert mine.unseal(sealed, name="alice") == "JBSWY3DPEHPK3PXP"
    for opener, name, data in (
        (StaffSecrets(SECRET[::-1], CHEAP), "alice", sealed),
        (mine, "bob", sealed),
        (mine, "alice", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (mine, "alice", b""),
    ):
        with pytest.raises(OperatorError, match="reset-mfa"):
            opener.unseal(data, name=name)
    old = reception(sqlite_database)
    secret = old.staff.create("alice", PASSWORD).secret
    changed = reception(sqlite_database, secret=SECRET[::-1])
    with pytest.raises(OperatorError):
        changed.staff.log_in("alice", PASSWORD, changed.code(secret))
    assert changed.staff.log_in("alice", PASSWORD, changed.code(changed.staff.reset_mfa("alice").secret))


def test_a_form_token_belongs_to_its_session_and_this_index(desk: Reception) -> None:
    secrets = StaffSecrets(SECRET, CHEAP)
    assert desk.staff.form_token("a") == secrets.form_token("a")
    assert secrets.form_token("a") != secrets.form_token("b")
    assert secrets.form_token("a") != StaffSecrets(SECRET[::-1], CHEAP).form_token("a")


def test_a_hash_of_old_costs_is_renewed_by_the_next_log_in(sqlite_database: SqlDatabase) -> None:
    old = reception(sqlite_database)
    secret = old.staff.create("alice", PASSWORD).secret
    new = reception(sqlite_database, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    new.staff.log_in("alice", PASSWORD, new.code(secret))
    assert "m=16,t=2" in new.staff.list()[0].password_hash
    new.next_step()
    assert new.staff.log_in("alice", PASSWORD, new.code(secret))


def test_passwords_are_hashed_with_argon2id_at_costs_of_today() -> None:
    assert DEFAULT_HASHER.type.name == "ID"
    assert (DEFAULT_HASHER.memory_cost, DEFAULT_HASHER.time_cost) >= (64 * 1024, 3)
    assert not DEFAULT_HASHER.check_needs_rehash(StaffSecrets(SECRET).hash_password(PASSWORD))


def test_one_password_on_two_keyboards(desk: Reception) -> None:
    secret = desk.staff.create("zoe", "caf\u00e9 au lait s'il te plait").secret
    assert desk.staff.log_in("zoe", "cafe\u0301 au lait s'il te plait", desk.code(secret))


@pytest.mark.parametrize(
    "password", ["", "elevenchars", "x" * (MAX_PASSWORD + 1), "administrator", "Administrator "]
)
def test_weak_passwords_are_refused(desk: Reception, password: str) -> None:
    with pytest.raises(CallerError, match="A password"):
        desk.staff.create("administrator", password)
    assert desk.staff.list() == []


@pytest.mark.parametrize("name", ["", "Alice", "a b", "-a", "a.", "a" * 65, "a\n", "zoë", "<script>"])
def test_names_that_are_not_possible_are_refused(desk: Reception, name: str) -> None:
    with pytest.raises(CallerError, match="user name"):
        desk.staff.create(name, PASSWORD)


def test_a_name_is_given_once_and_unknown_ones_are_not_found(desk: Reception, alice: str) -> None:
    assert alice
    with pytest.raises(Conflict, match="already"):
        desk.staff.create("alice", PASSWORD)
    for act in (desk.staff.reset_mfa, desk.staff.disable, lambda name: desk.staff.set_password(name, PASSWORD)):
        with pytest.raises(NotFound):
            act("bob")
