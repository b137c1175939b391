"""Who asks: the token in the `Authorization` header.

As PyPI has it, Basic authentication carries the user name `__token__` and the token as password; the API takes
`Bearer` too. A browser that remembers a password is not lent to other sites: what they send on is refused.
"""

from __future__ import annotations

import base64
import binascii

from gatehouse.core.errors import NotAllowed, NotAuthenticated
from gatehouse.gate.authorize import Authority
from gatehouse.web.request import Request

USER_NAME = "__token__"
#: A token of 8 KiB, in Base64, with its user name.
MAX_HEADER = 12 * 1024
_HOW = f"use {USER_NAME} as the user name and an API token as the password"


def authenticate(request: Request, *, bearer: bool = False) -> Authority:
    """Whom the request speaks for.

    Args:
        request: the request; its body is not touched.
        bearer: whether `Bearer` is taken beside `Basic`.

    Raises:
        NotAuthenticated: no token, or one that does not hold.
        NotAllowed: the page of another site made a browser send this.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise NotAllowed("Pages of other sites may not act on this index.")
    header = request.headers.get("Authorization")
    if header is None:
        raise NotAuthenticated(f"This needs a token: {_HOW}.")
    if len(header) > MAX_HEADER:
        raise NotAuthenticated("The Authorization header is too long for a token of this index.")
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "basic":
            return request.gatehouse.tokens.authenticate(_password(value))
        case "bearer" if bearer:
            return request.gatehouse.tokens.authenticate(value.strip())
    raise NotAuthenticated(f"Unknown kind of Authorization: {_HOW}.")


def _password(value: str) -> str:
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise NotAuthenticated(f"The Authorization header is not valid: {_HOW}.") from error
    name, colon, password = text.partition(":")
    if not colon or name != USER_NAME:
        raise NotAuthenticated(f"There are no passwords here: {_HOW}.")
    return password.strip()
