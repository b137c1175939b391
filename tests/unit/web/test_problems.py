"""Faults as strangers see them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gatehouse.core import errors
from gatehouse.core.names import InvalidName
from gatehouse.web import problems
from gatehouse.web.problems import MAX_REASON, Problem, describe, reason_phrase
from tests.support.web_house import WebHouse

SECRET = "password=hunter2 at /home/gatehouse/keys"


@given(st.text(max_size=3000))
def test_a_reason_is_one_printable_latin_line_whatever_the_sentence(sentence: str) -> None:
    reason = reason_phrase(sentence)
    assert len(reason) <= MAX_REASON
    assert reason.encode("latin-1") or reason == ""
    assert all(character.isprintable() for character in reason)
    assert "\r" not in reason
    assert "\n" not in reason


def test_a_reason_keeps_what_can_be_kept() -> None:
    assert reason_phrase("Größe\r\n  über 100\u202e €") == "Größe über 100? ?"


@given(st.text())
def test_a_problem_is_valid_json_whatever_the_sentence(detail: str) -> None:
    document = json.loads(Problem(status=400, code="x", detail=detail).body())
    assert document == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": detail,
        "code": "x",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.CallerError("x"), 400),
        (errors.InvalidUpload("x"), 400),
        (InvalidName("x"), 400),
        (errors.NotAuthenticated("x"), 401),
        (errors.NotAllowed("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.TooSlow("x"), 408),
        (errors.Conflict("x"), 409),
        (errors.TooLarge("x"), 413),
    ],
)
def test_the_callers_fault_is_said_in_its_own_words(error: errors.GatehouseError, status: int) -> None:
    problem = describe(error)
    assert (problem.status, problem.detail, problem.code) == (status, "x", error.code)


def leaves(kind: type[errors.GatehouseError]) -> Iterator[type[errors.GatehouseError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from leaves(child)


def test_every_error_of_the_core_has_a_status_of_its_branch() -> None:
    for kind in leaves(errors.GatehouseError):
        status = next(problems.STATUSES[parent] for parent in kind.__mro__ if parent in problems.STATUSES)
        ours = not issubclass(kind, errors.CallerError) or kind is problems.Busy
        assert (status >= 500) == ours, kind


@pytest.mark.parametrize(
    "error",
    [
        errors.OperatorError(SECRET),
        errors.SettingsError(SECRET),
        errors.StoreError(SECRET),
        errors.InternalError(SECRET),
        errors.LeaseLost(SECRET),
        ValueError(SECRET),
        KeyError(SECRET),
    ],
)
def test_our_own_fault_is_said_without_what_happened_but_with_an_incident(
    error: Exception,
) -> None:
    with capture_logs() as logged:
        problem = describe(error)
    assert problem.status >= 500
    assert SECRET not in problem.detail
    incident = problem.detail.removesuffix(".").rsplit(" ", 1)[1]
    assert len(incident) == 12
    (event,) = logged
    assert event["incident"] == incident
    assert SECRET in repr(event)


def test_an_error_that_nobody_foresaw_shows_no_trace(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(type(house.gatehouse.shelf), "projects", broken)
    response = house.ask("/simple/")
    assert response.status == "500 Internal Server Error"
    assert response.json["code"] == "internal"
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_blob_that_is_missing_is_our_fault_and_not_404(house: WebHouse, sample: str) -> None:
    path = house.gatehouse.blobs.path_of(house.ask(f"/files/sample-thing/{sample}").headers["ETag"].strip('"'))
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        response = house.ask(f"/files/sample-thing/{sample}")
    finally:
        aside.rename(path)
    assert (response.status_int, response.json["code"]) == (503, "store")
    assert str(path) not in response.text


def test_the_front_page_stands_when_the_house_is_sick(house: WebHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def sick(_health: object) -> None:
        raise errors.OperatorError(SECRET)

    monkeypatch.setattr(type(house.gatehouse.health), "overview", sick)
    response = house.ask("/")
    assert response.status_int == 200
    assert "cannot say how it is" in response.text
    assert "hunter2" not in response.text
