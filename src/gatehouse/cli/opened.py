"""An existing repository, opened for a command. Apart from `common`: what needs none need not load all this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gatehouse.cli.common import settings_from_environment
from gatehouse.core.errors import OperatorError
from gatehouse.initialise import is_initialised
from gatehouse.settings import Settings
from gatehouse.wiring import Gatehouse, build


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Gatehouse]:
    """The parts, for a command that works on an existing repository.

    Raises:
        OperatorError: there is none.
    """
    settings = settings or settings_from_environment()
    if not is_initialised(settings):
        raise OperatorError(
            f"There is no repository in {settings.home.absolute() if settings.embedded else 'this database'}. Run "
            "this where the index runs, or set GATEHOUSE_HOME; `gatehouse init` would make a new one."
        )
    gatehouse = build(settings)
    try:
        yield gatehouse
    finally:
        gatehouse.close()
