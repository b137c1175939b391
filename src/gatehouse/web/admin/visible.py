"""Text of strangers made safe to look at: what is invisible, or turns the order of letters around, is spelled out.

Bidirectional controls (UAX #9; the trick is known as Trojan Source), zero-width and tag characters, variation
selectors, controls, odd spaces and fillers become `⟨U+202E⟩`. Line feeds, tabs and ordinary spaces stay.
Escaping for HTML is Jinja2's part.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")
_STAYS = frozenset("\n\t ")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
#: Letters and marks by their category that nevertheless show nothing.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)
#: Writing systems need a few marks on one letter; hundreds climb over the lines around them.
_MOST_MARKS = 4


def visible(text: str) -> str:
    """The text with all that would not be seen spelled out."""
    if _PLAIN.fullmatch(text):
        return text
    pieces = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        unseen = category in _UNSEEN_CATEGORIES or character in _UNSEEN or marks > _MOST_MARKS
        pieces.append(f"⟨U+{ord(character):04X}⟩" if unseen and character not in _STAYS else character)
    return "".join(pieces)
