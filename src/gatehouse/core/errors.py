"""The one error tree. An error says what is wrong and whose fault it is; `web.problems` and `cli` translate it.

The four branches are the four who can be at fault: the caller (who asked wrongly), the uploader (whose
package is bad), the operator (whose settings, keys or disks are) and we ourselves. A message is one
sentence that names the input and the fault; it is shown to strangers, so it holds no path of ours and no trace.
"""

from __future__ import annotations


class GatehouseError(Exception):
    """The root of the tree. `code` is a stable word for programs, the message is for people."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(GatehouseError):
    """The caller asked for something that cannot be done as asked."""

    code = "bad-request"


class NotAuthenticated(CallerError):
    """No token, or one that this index did not issue, or that has ended."""

    code = "not-authenticated"


class NotAllowed(CallerError):
    """The caller is known and may not do this."""

    code = "not-allowed"


class NotFound(CallerError):
    """There is no such thing here."""

    code = "not-found"


class Conflict(CallerError):
    """What was asked contradicts what the index already holds."""

    code = "conflict"


class TooLarge(CallerError):
    """More bytes than the index takes."""

    code = "too-large"


class TooSlow(CallerError):
    """The sender did not send fast enough."""

    code = "too-slow"


class InvalidUpload(CallerError):
    """The package or its form fields are not valid: the uploader's fault."""

    code = "invalid-upload"


class OperatorError(GatehouseError):
    """Settings, keys, disks or services are not as they must be."""

    code = "operator"


class SettingsError(OperatorError):
    """A setting is unknown or wrong. The message names it."""

    code = "settings"


class StoreError(OperatorError):
    """A store refused, lost or changed bytes."""

    code = "store"


class LeaseLost(GatehouseError):
    """Another process took over the lease: whoever sees this must stop writing."""

    code = "lease-lost"


class InternalError(GatehouseError):
    """An invariant of ours does not hold."""

    code = "internal"
