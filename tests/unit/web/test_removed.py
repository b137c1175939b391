"""Over HTTP: what is removed or held is handed out no more, at once, and the caches in front are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.gate.baseline import file_subject
from gatehouse.gate.ports import Action
from gatehouse.gate.purge import TOPIC
from tests.support.web_house import WebHouse, web_house

WHEEL = "example-1.0-py3-none-any.whl"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[WebHouse]:
    with web_house(tmp_path / "home", purge_kind="varnish", purge_url="http://127.0.0.1:9") as opened:
        opened.house.wheel()
        opened.publish()
        yield opened


def addresses(house: WebHouse) -> list[str]:
    """Every address at which the file's bytes, or its metadata, are handed out."""
    sha256 = house.house.file(WHEEL).sha256
    return [
        f"/files/example/{WHEEL}",
        f"/files/example/{WHEEL}.metadata",
        f"/tuf/targets/files/example/{WHEEL}",
        f"/tuf/targets/files/example/{sha256}.{WHEEL}",
    ]


def decide(house: WebHouse, action: Action) -> None:
    subject = file_subject(house.house.file(WHEEL))
    house.gatehouse.decide(actor="mia", subject=subject, action=action, reason="The test says so.")


@pytest.mark.parametrize("action", [Action.REMOVE, Action.HOLD])
def test_no_byte_is_handed_out_from_the_moment_of_the_decision(house: WebHouse, action: Action) -> None:
    assert [house.ask(address).status_int for address in addresses(house)] == [200] * 4
    decide(house, action)
    # Nothing was published since.
    assert [house.ask(address).status_int for address in addresses(house)] == [404] * 4


def test_a_restoration_hands_them_out_again_once_it_is_published(house: WebHouse) -> None:
    decide(house, Action.REMOVE)
    house.house.publish()
    decide(house, Action.RESTORE)
    house.house.publish()
    assert [house.ask(address).status_int for address in addresses(house)] == [200] * 4


def test_the_caches_are_told_before_any_publication(house: WebHouse) -> None:
    purged(house)
    decide(house, Action.REMOVE)
    assert {"files/example", "simple/example"} <= purged(house)


def test_what_was_never_visible_is_not_purged(house: WebHouse) -> None:
    house.house.wheel("hidden")
    purged(house)
    subject = file_subject(house.house.file("hidden-1.0-py3-none-any.whl"))
    house.gatehouse.decide(actor="mia", subject=subject, action=Action.REMOVE, reason="The test says so.")
    assert not purged(house)


def purged(house: WebHouse) -> set[str]:
    """The keys that are to be purged; they are taken out."""
    now = house.gatehouse.clock.now() + timedelta(hours=1)
    with house.gatehouse.database.write() as transaction:
        messages = transaction.outbox.claim({TOPIC}, limit=100, now=now, lease=timedelta(minutes=1))
        transaction.outbox.done([message.id for message in messages])
    return {key for message in messages for key in message.payload["keys"]}
