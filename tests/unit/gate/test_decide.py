"""What a person decides holds for what they saw, for all of it, and for nothing else."""

from __future__ import annotations

import pytest

from gatehouse.catalog.model import FileState
from gatehouse.core.errors import CallerError, Conflict, NotAllowed, NotFound
from gatehouse.gate.baseline import file_subject
from gatehouse.gate.decide import standing_of
from gatehouse.gate.ports import Action
from gatehouse.malware.model import Kind, Subject, Tier
from tests.support.distributions import build_sdist, build_wheel
from tests.support.house import House

COPY = "copied-1.0-py3-none-any.whl"
WHEEL = "example-1.0-py3-none-any.whl"


def test_what_a_person_let_through_waits_no_more_in_the_release_s_other_wheels(home: House) -> None:
    names = {tag: f"example-1.0-{tag}-none-any.whl" for tag in ("py3", "py311", "py312", "py313")}
    names["later"] = "example-1.1-py3-none-any.whl"
    home.judge.says |= dict.fromkeys(names.values(), Tier.HOLD)
    home.judge.contents = dict.fromkeys(names.values(), "ab" * 32) | {names["py312"]: "cd" * 32}
    authority = home.authority()

    def comes(name: str) -> FileState:
        version, tag = ("1.1", "py3") if name == "later" else ("1.0", name)
        wheel = build_wheel("example", version, tag=f"{tag}-none-any")
        subject = file_subject(home.upload(wheel, authority=authority).file)
        home.work()
        with home.gatehouse.database.read() as transaction:
            waits = [each.subject for each in transaction.screening.waiting(limit=10)]
        state = home.file(names[name]).state
        assert (subject in waits) == (state is FileState.HELD)
        return state

    assert comes("py3") is FileState.HELD
    first = file_subject(home.file(names["py3"]))
    home.gatehouse.decide(actor="eve", subject=first, action=Action.LET_THROUGH, reason="a false alarm")
    assert comes("py311") is FileState.PUBLISHED
    assert comes("py312") is FileState.HELD
    assert comes("later") is FileState.HELD
    home.gatehouse.decide(actor="eve", subject=first, action=Action.REMOVE, reason="no, it was none")
    assert comes("py313") is FileState.HELD


def test_what_another_project_was_let_through_with_is_no_excuse(home: House) -> None:
    home.judge.says |= {WHEEL: Tier.HOLD, COPY: Tier.HOLD}
    home.judge.contents = {WHEEL: "ab" * 32, COPY: "ab" * 32}
    first = file_subject(home.wheel().file)
    home.work()
    home.gatehouse.decide(actor="eve", subject=first, action=Action.LET_THROUGH, reason="a false alarm")
    home.wheel("copied")
    home.work()
    assert home.file(COPY).state is FileState.HELD


def test_a_decision_on_a_project_holds_for_all_its_files_and_its_future(home: House) -> None:
    authority = home.authority()
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.upload(build_sdist("example", "2.0"), authority=authority)
    home.work()
    project = file_subject(file).project
    home.gatehouse.decide(actor="eve", subject=project, action=Action.REMOVE, reason="malware")
    assert {home.file(name).state for name in (WHEEL, "example-2.0.tar.gz")} == {FileState.REMOVED}
    with home.gatehouse.database.read() as transaction:
        decision = transaction.screening.latest_decision(file_subject(file))
        assert decision is not None
        assert decision.reason == "malware"
    with pytest.raises(NotAllowed, match="taken out by the index"):
        home.upload(build_wheel("example", "3.0"), authority=authority)
    home.publish()
    assert home.gatehouse.shelf.projects() == []
    assert home.gatehouse.shelf.page("example", "html") is None
    home.gatehouse.decide(actor="eve", subject=project, action=Action.RESTORE, reason="an error")
    home.publish()
    assert home.gatehouse.shelf.projects() == ["example"]
    home.upload(build_wheel("example", "3.0"), authority=authority)


def test_a_decision_on_a_release_leaves_other_releases_alone(home: House) -> None:
    authority = home.authority()
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.upload(build_wheel("example", "2.0"), authority=authority)
    home.work()
    home.gatehouse.decide(actor="eve", subject=file_subject(file).release, action=Action.HOLD, reason="a look")
    assert home.file(WHEEL).state is FileState.HELD
    assert home.file("example-2.0-py3-none-any.whl").state is FileState.PUBLISHED


def test_a_release_that_was_taken_out_takes_no_further_file(home: House) -> None:
    authority = home.authority()
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.work()
    release = file_subject(file).release
    home.gatehouse.decide(actor="eve", subject=release, action=Action.REMOVE, reason="malware")
    for version in ("1.0", "1.0.0"):
        with pytest.raises(NotAllowed, match=r"Version 1\.0 of 'example' has been taken out"):
            home.upload(build_sdist("example", version), authority=authority)
    home.upload(build_sdist("example", "2.0"), authority=authority)
    home.gatehouse.decide(actor="eve", subject=release, action=Action.RESTORE, reason="an error")
    home.upload(build_sdist("example", "1.0"), authority=authority)


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.PROJECT])
def test_a_file_that_comes_between_the_look_and_the_decision_is_not_let_through_unseen(
    home: House, kind: Kind
) -> None:
    authority = home.authority()
    home.judge.says[WHEEL] = Tier.HOLD
    file = home.upload(build_wheel("example", "1.0"), authority=authority).file
    home.work()
    subject = file_subject(file).release if kind is Kind.RELEASE else file_subject(file).project
    seen = standing_of([home.file(WHEEL)])
    home.upload(build_sdist("example", "1.0"), authority=authority)
    with pytest.raises(Conflict, match="changed since you looked"):
        home.gatehouse.decide(actor="eve", subject=subject, action=Action.LET_THROUGH, reason="fine", seen=seen)
    assert home.file(WHEEL).state is FileState.HELD
    assert home.file("example-1.0.tar.gz").state is FileState.ACCEPTED
    seen = standing_of([home.file(WHEEL), home.file("example-1.0.tar.gz")])
    home.gatehouse.decide(actor="eve", subject=subject, action=Action.LET_THROUGH, reason="fine", seen=seen)
    assert home.file("example-1.0.tar.gz").state is FileState.PUBLISHED


def test_a_decision_needs_a_reason_a_subject_and_something_to_do(home: House) -> None:
    file = home.wheel().file
    subject = file_subject(file)
    home.work()
    for reason in ("", "   ", "x" * 2001):
        with pytest.raises(CallerError, match="reason"):
            home.gatehouse.decide(actor="eve", subject=subject, action=Action.HOLD, reason=reason)
    with pytest.raises(Conflict, match="nothing to restore: what it has is published"):
        home.gatehouse.decide(actor="eve", subject=subject, action=Action.RESTORE, reason="why")
    nobody = Subject(source="local", kind=Kind.PROJECT, name="nobody")
    with pytest.raises(NotFound):
        home.gatehouse.decide(actor="eve", subject=nobody, action=Action.HOLD, reason="why")
    other = Subject(source="local", kind=Kind.FILE, name="example", version="1.0", filename=WHEEL, sha256="0" * 64)
    with pytest.raises(NotFound, match="no such file"):
        home.gatehouse.decide(actor="eve", subject=other, action=Action.HOLD, reason="why")
    with home.gatehouse.database.read() as transaction:
        assert transaction.screening.recent_decisions(limit=5) == []
