"""`gatehouse serve`: one process, one port: the web, the outbox loop and the publisher."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import sys
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from types import FrameType

import click

from gatehouse.cli.common import settings_from_environment
from gatehouse.core.errors import NotAuthenticated, OperatorError
from gatehouse.home import owned
from gatehouse.initialise import initialise, is_initialised, trusted_root_path
from gatehouse.settings import Settings
from gatehouse.storage.sql.migrate import upgrade
from gatehouse.tuf.bins import BinLayout
from gatehouse.web.app import make_app
from gatehouse.web.multipart import FormLimits
from gatehouse.web.server import Server
from gatehouse.web.server import serve as listen
from gatehouse.wiring import Gatehouse, build
from gatehouse.worker.beside import working

#: Bins of a repository that `serve` sets up by itself: for thousands of files; `init` lets an operator choose.
DEFAULT_LAYOUT = BinLayout(simple_bits=5, files_bits=6)
_LOCAL_ACCOUNT = "local"


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The folder of the embedded state.")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one.")
def serve(home: Path | None, host: str | None, port: int | None) -> None:
    """Serve the index; set it up first if there is nothing yet.

    Example: gatehouse serve --port 6458
    """
    settings = settings_from_environment({"home": home, "host": host, "port": port})
    if settings.embedded:
        _make_home(settings.home)
    with owned(settings.home) if settings.embedded else nullcontext():
        _prepare(settings)
        gatehouse = build(settings)
        try:
            _run(gatehouse)
        finally:
            gatehouse.close()


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"Cannot make the home {home}: {error.strerror}.") from error


def _prepare(settings: Settings) -> None:
    if is_initialised(settings):
        return
    _require_free(settings)
    if not settings.embedded:
        # An empty database where there should be a full one must not quietly become a new root of trust.
        raise OperatorError(
            "The database holds no repository of this version: run `gatehouse init` for a new one, or `gatehouse "
            "migrate` for one of an older version."
        )
    if (settings.home / "gatehouse.db").exists():
        upgrade(settings.database)
        if is_initialised(settings):
            return
    click.echo("Setting up a new repository with a development ceremony ...")
    done = initialise(settings, DEFAULT_LAYOUT)
    click.echo(f"All keys, the root's too, lie in {done.keys_folder}: right for a trial, not for production.")
    click.echo("A real ceremony keeps them offline: docs/explanation/keys.md.")


def _require_free(settings: Settings) -> None:
    """Refuse a port in use before a whole repository is set up for it."""
    if settings.port == 0:
        return
    with closing(socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise OperatorError(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. Another one: --port."
            ) from error


def _run(gatehouse: Gatehouse) -> None:
    settings = gatehouse.settings
    server = _listen(gatehouse)

    def end(_number: int, _frame: FrameType | None) -> None:
        gatehouse.covers.close()
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda _number, _frame: gatehouse.checks.wish())
    with working(gatehouse, alone=settings.embedded), suppress(KeyboardInterrupt):
        click.echo(_banner(gatehouse, settings.url(server.port)))
        server.run()
    click.echo("Stopped.")


def _listen(gatehouse: Gatehouse) -> Server:
    settings = gatehouse.settings
    return listen(
        make_app(gatehouse),
        settings.host,
        settings.port,
        max_body=FormLimits(content=settings.max_file_size).body,
        temp_dir=settings.home / "spool",
        threads=settings.threads,
        pace_seconds=settings.slow_sender_grace.total_seconds(),
        pace_rate=settings.slow_sender_rate,
    )


def _banner(gatehouse: Gatehouse, url: str) -> str:
    settings = gatehouse.settings
    local = settings.embedded and settings.listens_on_loopback
    token = _local_token(gatehouse) if local else "TOKEN"
    lines = [
        f"Gatehouse serves {url}",
        f"  browse        {url}/simple/",
        f"  upload        twine upload --repository-url {url}/legacy/ -u __token__ -p {token} dist/*",
        f"  or with uv    uv publish --publish-url {url}/legacy/ --token {token} dist/*",
        f"  install       pip install --no-deps --index-url {url}/simple/ NAME",
        f"  log in        {_desk(url)} (first: {_own_name(settings)} user create NAME)",
        f"  trusted root  {trusted_root_path(settings)}",
    ]
    if not local:
        lines.append(f"  TOKEN         {_own_name(settings)} token create --account NAME")
    return "\n".join(lines)


def _desk(url: str) -> str:
    """Where to log in: by the name `localhost` on this machine, since browsers give keys to names alone."""
    return url.replace("//127.0.0.1:", "//localhost:").replace("//[::1]:", "//localhost:") + "/admin/"


def _own_name(settings: Settings) -> str:
    """How to call this program again, on the same home, from the same place."""
    program = Path(sys.argv[0]).name if shutil.which(Path(sys.argv[0]).name) else sys.argv[0]
    usual = settings.home == Settings.model_fields["home"].default
    return program if usual else f"GATEHOUSE_HOME={shlex.quote(str(settings.home))} {program}"


def _local_token(gatehouse: Gatehouse) -> str:
    """The token of the account `local`, kept in the home so that it stays the same from start to start."""
    path = gatehouse.settings.keys_folder / "upload-token"
    with suppress(OSError, NotAuthenticated):
        token = path.read_text(encoding="ascii").strip()
        gatehouse.tokens.authenticate(token)
        return token
    token = gatehouse.tokens.create(_LOCAL_ACCOUNT, description="printed by gatehouse serve")
    path.touch(mode=0o600)
    path.write_text(token + "\n", encoding="ascii")
    return token
