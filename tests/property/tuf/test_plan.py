"""Whatever happens to targets and clock, each publication follows from the one before as clients demand."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse.tuf.bins import BinLayout
from gatehouse.tuf.model import BinRef
from gatehouse.tuf.render import entries_body, render_again
from tests.support.tuf_repository import Repository

paths = st.sampled_from([f"files/p{number}/p.zip" for number in range(6)] + ["simple/p/index.html"])
# An hour and a half forth and back: renewals come due now and then, and the clock is not to be trusted.
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(paths, st.integers(1, 3)), min_size=1, max_size=3)),
    st.tuples(st.just("remove"), st.lists(st.tuples(paths, st.just(0)), min_size=1, max_size=2)),
    st.tuples(st.just("wait"), st.lists(st.tuples(st.just(""), st.integers(-90, 1200)), min_size=1, max_size=1)),
    st.tuples(st.just("resign"), st.lists(st.tuples(st.sampled_from(["bins", "audit"]), st.just(0)), max_size=1)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(steps, max_size=8))
def test_publications_follow_from_each_other(todo: list[tuple[str, list[tuple[str, int]]]]) -> None:
    repository = Repository(layout=BinLayout(simple_bits=1, files_bits=2))
    repository.publish()
    for what, arguments in todo:
        changed: set[BinRef] = set()
        for text, number in arguments:
            if what == "put":
                changed.add(repository.put(text, number))
            elif what == "remove" and text in repository.targets:
                changed.add(repository.remove(text))
            elif what == "wait":
                repository.advance(timedelta(minutes=number))
            elif what == "resign":
                repository.add_offline([repository.resign(text)])
        before = dict(repository.online)
        draft = repository.publish(changed)  # rehearsed as a fresh and as a resting client

        assert all(item.role.version == before[item.role.name].version + 1 for item in draft.signed)
        assert all(item.role.expires > repository.now for item in draft.signed)
        assert changed <= {repository.layout.parse_role(item.role.name) for item in draft.bins}
        assert draft.signed[-1].role.name == "timestamp"
        assert repository.committed.needs_publication(repository.lifetimes, repository.now) is None
    online = repository.online
    for ref in repository.layout.refs():
        role = online[repository.layout.role_name(ref)]
        file = repository.files[f"metadata/{role.version}.{role.name}.json"]
        assert render_again(role, entries_body(repository.body(ref))) == file
    assert repository.committed.names() >= {repository.layout.role_name(ref) for ref in repository.layout.refs()}
