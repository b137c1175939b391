"""Tokens: what they open, when they end, and that the database cannot make one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pymacaroons import Macaroon

from gatehouse.core.errors import CallerError, NotAuthenticated, NotFound
from gatehouse.core.names import InvalidName
from gatehouse.gate.authorize import PREFIX
from tests.support.house import HandClock, House, house


def narrowed(token: str, caveat: str) -> str:
    """What a holder may do without asking: add a caveat."""
    macaroon = Macaroon.deserialize(token.removeprefix(PREFIX))
    macaroon.add_first_party_caveat(caveat)
    return PREFIX + str(macaroon.serialize())


def test_a_token_speaks_for_its_account(home: House) -> None:
    authority = home.gatehouse.tokens.authenticate(home.gatehouse.tokens.create("alice"))
    assert authority.account.name == "alice"
    assert authority.covers("anything")


def test_an_expired_token_is_refused_and_says_so(tmp_path: Path) -> None:
    clock = HandClock()
    with house(tmp_path / "home", clock=clock) as home:
        token = home.gatehouse.tokens.create("alice", lifetime=timedelta(hours=1))
        home.gatehouse.tokens.authenticate(token)
        clock.advance(timedelta(hours=1, seconds=1))
        with pytest.raises(NotAuthenticated, match="has expired"):
            home.gatehouse.tokens.authenticate(token)


def test_a_revoked_token_is_refused(home: House) -> None:
    tokens = home.gatehouse.tokens
    token = tokens.create("alice")
    tokens.revoke(tokens.authenticate(token).token_id)
    with pytest.raises(NotAuthenticated, match="revoked"):
        tokens.authenticate(token)
    with pytest.raises(NotFound):
        tokens.revoke("0" * 32)


def test_a_holder_can_narrow_a_token_and_never_widen_it(home: House) -> None:
    tokens = home.gatehouse.tokens
    token = tokens.create("alice", projects=["one", "two"])
    assert tokens.authenticate(token).projects == ("one", "two")
    assert tokens.authenticate(narrowed(token, '{"projects":["two","three"]}')).projects == ("two",)
    nothing = tokens.authenticate(narrowed(token, '{"projects":["three"]}'))
    assert not nothing.covers("three")
    with pytest.raises(NotAuthenticated, match="expired"):
        tokens.authenticate(narrowed(token, '{"expires":1}'))


@pytest.mark.parametrize(
    "caveat",
    [
        "anything",
        "{}",
        "[]",
        "null",
        '{"admin":true}',
        '{"expires":"tomorrow"}',
        '{"expires":99999999999,"projects":["one"]}',
        '{"projects":["NOT NORMALIZED"]}',
        '{"projects":"one"}',
        "[" * 5_000,
    ],
)
def test_a_caveat_that_is_not_known_does_not_hold(home: House, caveat: str) -> None:
    token = home.gatehouse.tokens.create("alice")
    with pytest.raises(NotAuthenticated):
        home.gatehouse.tokens.authenticate(narrowed(token, caveat))


def test_whoever_steals_the_database_cannot_make_a_token(home: House) -> None:
    tokens = home.gatehouse.tokens
    known = tokens.authenticate(tokens.create("alice")).token_id
    thief = replace(tokens, secret=b"a guess of thirty-two bytes or so")
    forged = Macaroon(location=tokens.location, identifier=known, key=thief._key(known))
    with pytest.raises(NotAuthenticated, match="was not issued by this index"):
        tokens.authenticate(PREFIX + str(forged.serialize()))
    dump = (home.gatehouse.settings.home / "gatehouse.db").read_bytes()
    assert home.gatehouse.tokens.secret not in dump
    assert home.gatehouse.tokens.secret.hex().encode() not in dump


def test_a_token_of_another_index_is_refused(home: House, tmp_path: Path) -> None:
    with house(tmp_path / "other", own_keys=True) as other:
        foreign = other.gatehouse.tokens.create("alice")
    with pytest.raises(NotAuthenticated, match="was not issued by this index"):
        home.gatehouse.tokens.authenticate(foreign)


def test_bad_names_make_no_token(home: House) -> None:
    with pytest.raises(InvalidName):
        home.gatehouse.tokens.create("alice", projects=["no spaces"])
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(CallerError, match="account name"):
            home.gatehouse.tokens.create(name)
    assert home.gatehouse.tokens.list() == []


def test_use_is_noted_and_listed(home: House) -> None:
    token = home.gatehouse.tokens.create("alice", description="laptop", projects=["one"])
    (before,) = home.gatehouse.tokens.list()
    assert before.last_used_at is None
    home.gatehouse.tokens.authenticate(token)
    (after,) = home.gatehouse.tokens.list()
    assert after.last_used_at is not None
    assert (after.description, after.projects, after.account.name) == ("laptop", ("one",), "alice")
