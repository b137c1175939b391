"""Bins are where python-tuf's clients look for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import SuccinctRoles

from gatehouse.tuf.bins import MAX_BITS, BinLayout, advise
from gatehouse.tuf.model import Family
from gatehouse.tuf.roles import BIN_PREFIX

bits = st.integers(1, MAX_BITS)
layouts = st.builds(BinLayout, simple_bits=bits, files_bits=bits)
families = st.sampled_from(Family)
texts = st.text(st.characters(codec="utf-8"), min_size=1)


def succinct(layout: BinLayout, family: Family) -> SuccinctRoles:
    return SuccinctRoles([], 1, layout.bits(family), BIN_PREFIX[family])


@given(layouts, families, texts)
def test_a_path_lies_in_the_bin_where_a_client_looks_for_it(layout: BinLayout, family: Family, rest: str) -> None:
    path = f"{family.name.lower()}/{rest}"

    ref = layout.bin_of(path)

    assert ref.family is family
    assert layout.role_name(ref) == succinct(layout, family).get_role_for_target(path)


@given(layouts, families, st.data())
def test_a_role_name_leads_back_to_its_bin(layout: BinLayout, family: Family, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, layout.count(family) - 1))
    (ref,) = [ref for ref in layout.refs(family) if ref.index == index]

    assert layout.parse_role(layout.role_name(ref)) == ref


@given(layouts, st.text() | st.from_regex(r"(simple|files)-bin-[0-9a-fA-F_+ ]{0,6}", fullmatch=True))
def test_no_other_name_is_taken_for_a_bin(layout: BinLayout, name: str) -> None:
    ref = layout.parse_role(name)

    assert ref is None or layout.role_name(ref) == name


@given(st.builds(BinLayout, simple_bits=st.integers(1, 9), files_bits=st.integers(1, 9)))
def test_all_bins_are_those_that_clients_know(layout: BinLayout) -> None:
    names = [layout.role_name(ref) for ref in layout.refs()]

    assert names == [name for family in Family for name in succinct(layout, family).get_roles()]
    assert len(names) == layout.count()


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_advice_is_a_possible_number_of_bins_and_grows_with_the_targets(one: int, other: int) -> None:
    fewer, more = advise(min(one, other)), advise(max(one, other))

    assert fewer <= more
    assert BinLayout.from_counts(simple=fewer, files=more).count() == fewer + more
