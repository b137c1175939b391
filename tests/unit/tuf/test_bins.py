"""Bins: what is taken, what is refused, and what is advised."""

from __future__ import annotations

import pytest

from gatehouse.core.errors import OperatorError
from gatehouse.core.names import InvalidName
from gatehouse.tuf.bins import BinLayout, advise
from gatehouse.tuf.model import BinRef, Family

LAYOUT = BinLayout(simple_bits=1, files_bits=8)


@pytest.mark.parametrize(
    "path", ["", "files", "files/", "audit/log", "Files/a/b", "/files/a", "index.html", "simple"]
)
def test_a_path_of_no_family_has_no_bin(path: str) -> None:
    with pytest.raises(InvalidName, match="belongs to no bin"):
        LAYOUT.bin_of(path)


def test_a_path_that_cannot_be_encoded_has_no_bin() -> None:
    with pytest.raises(InvalidName, match="not encodable"):
        LAYOUT.bin_of("files/a/\ud800")


def test_names_end_in_hexadecimal_of_one_width() -> None:
    names = [LAYOUT.role_name(ref) for ref in LAYOUT.refs()]

    assert names[:3] == ["simple-bin-0", "simple-bin-1", "files-bin-00"]
    assert names[-1] == "files-bin-ff"


def test_a_bin_that_the_layout_does_not_have_has_no_name() -> None:
    for index in (-1, 2):
        with pytest.raises(InvalidName, match="no simple bin"):
            LAYOUT.role_name(BinRef(family=Family.SIMPLE, index=index))


@pytest.mark.parametrize(
    "name",
    ["simple-bin-2", "files-bin-0", "files-bin-000", "files-bin-0A", "files-bin-+1", "files-bin-1_", "files-bin-",
     "-00", "bins", "files-bins", "files-bin-\u0660\u0660"],
)  # fmt: skip
def test_a_name_that_is_nearly_a_bin_is_none(name: str) -> None:
    assert LAYOUT.parse_role(name) is None


@pytest.mark.parametrize("count", [-4, 0, 1, 3, 1000, 131072])
def test_a_number_of_bins_that_is_no_power_of_two_in_range_is_refused_by_name(count: int) -> None:
    with pytest.raises(OperatorError, match=r"number of files bins must be a power of two .* not"):
        BinLayout.from_counts(simple=16, files=count)


def test_bits_out_of_range_are_refused() -> None:
    with pytest.raises(OperatorError, match="simple bins take 1 to 16 bits, not 17"):
        BinLayout(simple_bits=17, files_bits=1)


@pytest.mark.parametrize(
    ("targets", "bins"),
    [
        (-1, 16),
        (0, 16),
        (1_000, 128),
        (100_000, 1_024),
        (15_000_000, 8_192),
        (22_000_000, 16_384),
        (10**12, 65_536),
    ],
)
def test_advice_follows_the_square_root_of_the_targets(targets: int, bins: int) -> None:
    assert advise(targets) == bins
