"""`/metrics`: how the gate is, read when it is asked, and what screening came to."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.malware.model import Tier
from gatehouse.web.app import make_app
from tests.support.house import HandClock
from tests.support.house import house as open_house
from tests.support.web_house import WebHouse, form, upload_parts


def metrics_of(house: WebHouse) -> dict[str, float]:
    """What is said now, by name and labels."""
    lines = [line for line in house.ask("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.usefixtures("sample")
def test_publications_and_expiries_are_those_of_the_database(house: WebHouse) -> None:
    values = metrics_of(house)
    with house.gatehouse.database.read() as transaction:
        last = transaction.signing.last_publication()
    assert last is not None
    assert last.published_at is not None
    assert values["gatehouse_readable"] == 1
    assert values["gatehouse_publications_total"] == last.timestamp_version >= 2
    assert values["gatehouse_last_publication_timestamp_seconds"] == pytest.approx(last.published_at.timestamp())
    for role in ("root", "targets", "bins", "simple-bin-n", "files-bin-n", "snapshot", "timestamp"):
        assert values[f'gatehouse_role_expiry_timestamp_seconds{{role="{role}"}}'] > time.time()
        assert values[f'gatehouse_role_urgency{{role="{role}"}}'] == 0
    assert 0 <= values["gatehouse_last_publication_seconds"] < 60
    assert values["gatehouse_refused_changes"] == 0


def test_what_is_overdue_is_pressing_by_degrees(tmp_path: Path) -> None:
    clock = HandClock()
    with open_house(tmp_path / "home", clock=clock) as home:
        gatehouse = home.gatehouse
        later = WebHouse(gatehouse=gatehouse, app=make_app(gatehouse), token="", house=home)
        # Of a day that a timestamp holds, 0.90, 0.95 and 0.98 are over.
        for hours, level in ((21, 0), (1, 1), (1, 2), (0.6, 3)):
            clock.advance(timedelta(hours=hours))
            values = metrics_of(later)
            assert values['gatehouse_role_urgency{role="timestamp"}'] == level
            assert values['gatehouse_role_urgency{role="root"}'] == 0
        ends = values['gatehouse_role_expiry_timestamp_seconds{role="root"}']
        clock.advance(timedelta(seconds=ends - clock.moment.timestamp()) - timedelta(days=6))
        assert metrics_of(later)['gatehouse_role_urgency{role="root"}'] == 3


def test_what_waits_is_counted_until_it_is_done(house: WebHouse) -> None:
    held, flagged = (
        'gatehouse_desk_waiting{tier="hold"}',
        'gatehouse_screenings_total{outcome="flagged",tier="hold"}',
    )
    before = metrics_of(house)
    parts = upload_parts("counted-thing", "1.0")
    house.house.judge.says[str(parts[-1][2])] = Tier.HOLD  # type: ignore[misc]  # the last part has three
    assert house.upload(form(parts)).status_int == 200
    assert metrics_of(house)["gatehouse_outbox_messages"] == before["gatehouse_outbox_messages"] + 1
    house.house.screen()
    after = metrics_of(house)
    assert after["gatehouse_outbox_messages"] == before["gatehouse_outbox_messages"]
    assert after["gatehouse_dead_letters"] == 0
    assert after[held] == before[held] + 1
    assert after[flagged] == before.get(flagged, 0) + 1


def test_target_changes_wait_for_their_publication(house: WebHouse) -> None:
    house.publish()
    assert metrics_of(house)["gatehouse_pending_changes"] == 0
    assert house.upload(form(upload_parts("pending-thing", "1.0"))).status_int == 200
    house.house.screen()
    assert metrics_of(house)["gatehouse_pending_changes"] == 3  # the file and two pages
    house.publish()
    assert metrics_of(house)["gatehouse_pending_changes"] == 0


def test_metrics_stand_when_the_gate_cannot_say_how_it_is(
    house: WebHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(_health: object) -> None:
        raise OperatorError("hunter2")

    monkeypatch.setattr(type(house.gatehouse.health), "overview", sick)
    values = metrics_of(house)
    assert values["gatehouse_readable"] == 0
    assert "gatehouse_pending_changes" not in values
