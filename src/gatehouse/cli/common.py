"""What the commands share: settings, one-line errors, logging, and words for moments and spans."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import click
import structlog

from gatehouse.core.errors import GatehouseError
from gatehouse.malware.inert import inert, inert_block
from gatehouse.settings import Settings, load

MISUSE = 2
#: Longest error, and longest text in the log, in characters.
_MAX_LINE, _MAX_LOGGED = 4000, 100_000


class GatehouseGroup(click.Group):
    """A group that imports each command when it is asked for, and ends in one line and exit code 2 on our errors.

    A command `some-name` is the attribute `some_name` of the module `<commands_in>.some_name`.
    """

    def __init__(self, *args: Any, commands_in: str, names: Sequence[str], **rest: Any) -> None:  # noqa: ANN401 -- click's own
        super().__init__(*args, **rest)
        self._package = commands_in
        self._names = tuple(names)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's own signature
        """All commands, in the order in which they were named."""
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's own
        """The command of that name, imported now."""
        if cmd_name not in self._names:
            return None
        attribute = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{self._package}.{attribute}"), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- click's own signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GatehouseError as error:
            click.echo(f"gatehouse: {inert(error.message, limit=_MAX_LINE)}", err=True)
            ctx.exit(MISUSE)


def settings_from_environment(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force, with logging set up as they say."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = load(os.environ, given).settings
    set_up_logging(settings.log_level)
    return settings


def set_up_logging(level: str) -> None:
    """Log to standard error, one event a line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _inert_values,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _inert_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Texts that cannot steer the terminal which shows the log: an exception may quote what a stranger sent."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = inert_block(value, limit=_MAX_LOGGED)
    return event


def moment(value: datetime | None) -> str:
    """A moment for people, to the second, in UTC."""
    return "never" if value is None else value.strftime("%Y-%m-%d %H:%M:%S UTC")


def span(value: timedelta) -> str:
    """A span of time for people, in its largest fitting unit."""
    seconds = int(abs(value.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
