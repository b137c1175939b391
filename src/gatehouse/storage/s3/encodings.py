"""Compressed forms of what lies in a bucket: implements `gate.ports.KeptEncodings` by keeping none.

The web remembers those that clients ask for (`gate.encode`), and a cache in front remembers them too. A folder of
forms beside a bucket would have to be cleaned up by every server that has one.
"""

from __future__ import annotations

from gatehouse.gate.ports import Coding, Encoded


class NoKeptEncodings:
    """Forms are made again after each start."""

    def load(self, name: str, coding: Coding) -> Encoded | None:
        """None: nothing is kept."""
        del name, coding
        return None

    def keep(self, name: str, coding: Coding, encoded: Encoded) -> None:
        """Keep nothing."""
        del name, coding, encoded
