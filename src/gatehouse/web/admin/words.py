"""What the desk calls things: the contract's words, each with a few of plain English behind it."""

from __future__ import annotations

from gatehouse.catalog.model import FileState
from gatehouse.gate.ports import Action
from gatehouse.malware.model import Context, Outcome, Tier

TIERS = {
    Tier.HOLD: "to be kept off the index",
    Tier.ALERT: "somebody must know now",
    Tier.QUEUE: "waits for review",
    Tier.RANK: "orders the list only",
    Tier.NONE: "nothing of note",
}
OUTCOMES = {
    Outcome.CLEAN: "Clean: nothing was found",
    Outcome.FLAGGED: "Flagged",
    Outcome.INCOMPLETE: "INCOMPLETE, not clean",
}
CONTEXTS = {
    Context.INSTALL: "runs while it is installed",
    Context.STARTUP: "runs at every start of Python",
    Context.IMPORT: "runs when it is imported",
    Context.CALL: "runs when somebody calls it",
    Context.TEST: "in tests, documents or examples",
    Context.ARCHIVE: "in the make-up of the archive",
    Context.METADATA: "in the metadata",
}
ACTIONS = {
    Action.HOLD: ("Hold", "take it off the pages and out of TUF until further notice"),
    Action.LET_THROUGH: ("Let through", "judged harmless: publish it, or leave it published"),
    Action.REMOVE: ("Remove", "judged harmful: take it out"),
    Action.RESTORE: ("Restore", "take the removal back and publish it again"),
}
STATES = {
    FileState.ACCEPTED: "accepted, not published yet",
    FileState.PUBLISHED: "published",
    FileState.HELD: "held",
    FileState.REMOVED: "removed by a decision",
    FileState.DELETED: "deleted by its owner",
}
