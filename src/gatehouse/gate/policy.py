"""What the operator chose: when a file is published, and what a failed screening means for it."""

from __future__ import annotations

from enum import StrEnum

from gatehouse.catalog.model import FileState
from gatehouse.malware.model import Outcome, Tier


class PublishPolicy(StrEnum):
    """When an accepted file becomes visible."""

    SCREEN_THEN_PUBLISH = "screen_then_publish"  # nothing is visible before its screening has ended
    PUBLISH_THEN_SCREEN = "publish_then_screen"  # visible at once, and taken back if need be


class WhenScreeningFails(StrEnum):
    """What an INCOMPLETE screening, after its last attempt, means for the file."""

    HOLD = "hold"
    PUBLISH_AND_ALARM = "publish_and_alarm"


def state_after(outcome: Outcome, tier: Tier, when_it_fails: WhenScreeningFails) -> FileState:
    """Where a file belongs when its screening has ended for good.

    Args:
        outcome: how the screenings of the file, its release and its project ended, taken together.
        tier: the highest tier among the file, its release and its project.
        when_it_fails: what the operator chose.
    """
    if tier >= Tier.HOLD:
        return FileState.HELD
    if outcome is Outcome.INCOMPLETE and when_it_fails is WhenScreeningFails.HOLD:
        return FileState.HELD
    return FileState.PUBLISHED
