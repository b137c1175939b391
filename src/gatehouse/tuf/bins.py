"""From a target path to its bin: two families of succinct hash bins.

Implements TAP 15 as python-tuf's `SuccinctRoles.get_role_for_target` does: the first bits of the SHA-256
of the path choose the bin, and its name ends in the index in hexadecimal, padded to one width. The family
is the first component of the path (procedure P1): `simple/…` or `files/…`; any other path has no bin.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from gatehouse.core.errors import OperatorError
from gatehouse.core.names import InvalidName
from gatehouse.tuf.model import BinRef, Family
from gatehouse.tuf.roles import BIN_PREFIX

#: 65,536 bins: four hexadecimal digits.
MAX_BITS = 16
#: What a target adds to its bin, in bytes: `files/<name>/<filename>`, its digest and its length.
ENTRY_BYTES = 150
#: What a bin adds to the snapshot, in bytes.
SNAPSHOT_ENTRY_BYTES = 33.7
_FEWEST_ADVISED = 16
_HEX_BITS = 4

_FAMILIES = {"simple": Family.SIMPLE, "files": Family.FILES}


@dataclass(frozen=True, kw_only=True, slots=True)
class BinLayout:
    """How many bins each family has, in bits (1 to 16): 2 to the power of `bits` bins.

    Raises:
        OperatorError: a number of bits is outside 1 to 16.
    """

    simple_bits: int
    files_bits: int

    def __post_init__(self) -> None:
        for family in Family:
            if not 1 <= self.bits(family) <= MAX_BITS:
                raise OperatorError(
                    f"{family.name.lower()} bins take 1 to {MAX_BITS} bits, not {self.bits(family)}."
                )

    @classmethod
    def from_counts(cls, *, simple: int, files: int) -> Self:
        """The layout with these numbers of bins.

        Raises:
            OperatorError: a number is not a power of two from 2 to 65,536.
        """
        return cls(simple_bits=_bits("simple", simple), files_bits=_bits("files", files))

    def bits(self, family: Family) -> int:
        """How many bits of the path's digest choose the bin."""
        return self.simple_bits if family is Family.SIMPLE else self.files_bits

    def count(self, family: Family | None = None) -> int:
        """How many bins a family has; without one, how many there are in all."""
        if family is None:
            return sum(self.count(each) for each in Family)
        return int(1 << self.bits(family))

    def bin_of(self, path: str) -> BinRef:
        """The bin that a target path belongs to.

        Raises:
            InvalidName: the path begins with neither `simple/` nor `files/`, or cannot be encoded.
        """
        head, slash, rest = path.partition("/")
        family = _FAMILIES.get(head)
        if family is None or not slash or not rest:
            raise InvalidName(
                f"Target path {path[:200]!r} belongs to no bin: it must begin with simple/ or files/."
            )
        try:
            digest = hashlib.sha256(path.encode()).digest()
        except UnicodeEncodeError as error:
            raise InvalidName(f"Target path {path[:200]!r} is not encodable text.") from error
        return BinRef(family=family, index=int.from_bytes(digest[:4], "big") >> (32 - self.bits(family)))

    def role_name(self, ref: BinRef) -> str:
        """The role of a bin, such as `files-bin-0a`.

        Raises:
            InvalidName: this layout has no such bin.
        """
        if not 0 <= ref.index < self.count(ref.family):
            raise InvalidName(f"There is no {ref.family.name.lower()} bin {ref.index}.")
        return f"{BIN_PREFIX[ref.family]}-{ref.index:0{self._width(ref.family)}x}"

    def parse_role(self, name: str) -> BinRef | None:
        """The bin of a role name, or None if the name is not exactly that of a bin of this layout."""
        prefix, dash, digits = name.rpartition("-")
        for family, known in BIN_PREFIX.items():
            if dash and prefix == known and 0 < len(digits) <= MAX_BITS // _HEX_BITS and _is_hex(digits):
                ref = BinRef(family=family, index=int(digits, 16))
                if ref.index < self.count(family) and self.role_name(ref) == name:
                    return ref
        return None

    def refs(self, family: Family | None = None) -> Iterator[BinRef]:
        """All bins, of one family or of both, in order."""
        for each in Family if family is None else (family,):
            for index in range(self.count(each)):
                yield BinRef(family=each, index=index)

    def _width(self, family: Family) -> int:
        return -(-self.bits(family) // _HEX_BITS)


def advise(targets: int, *, entry_bytes: int = ENTRY_BYTES) -> int:
    """How many bins a family of so many targets does well with.

    A lookup costs the snapshot (which grows with the bins) and one bin (which shrinks with them); their sum
    is least at sqrt(targets * entry / snapshot entry). The next power of two above it leaves room to grow.

    Args:
        targets: how many targets the family will hold.
        entry_bytes: what one target adds to its bin, in bytes.

    Returns:
        A power of two from 16 to 65,536.
    """
    optimum = math.sqrt(max(targets, 0) * entry_bytes / SNAPSHOT_ENTRY_BYTES)
    bits = math.ceil(math.log2(max(optimum, _FEWEST_ADVISED)))
    return int(1 << min(bits, MAX_BITS))


def _bits(family: str, count: int) -> int:
    bits = count.bit_length() - 1
    if not 1 <= bits <= MAX_BITS or count != 1 << bits:
        raise OperatorError(
            f"The number of {family} bins must be a power of two from 2 to {1 << MAX_BITS:,}, not {count:,}."
        )
    return bits


def _is_hex(text: str) -> bool:
    # int(text, 16) takes signs, underscores and other scripts' digits; a role name takes none of them.
    return all(char in "0123456789abcdef" for char in text)
