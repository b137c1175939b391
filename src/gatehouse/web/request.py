"""The request as views see it: Pyramid's, with the wired house at `request.gatehouse`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webob import Request as _WebObRequest

    from gatehouse.wiring import Gatehouse

    class Request(_WebObRequest):
        """Pyramid's request ships no types; this says what of it we use."""

        gatehouse: Gatehouse
        matchdict: dict[str, str]
        matched_route: Any
        registry: Any
else:
    from pyramid.request import Request

__all__ = ["Request", "View"]

if TYPE_CHECKING:
    from gatehouse.web.replies import Reply

    View = Callable[[Request], Reply]
else:
    View = Callable
