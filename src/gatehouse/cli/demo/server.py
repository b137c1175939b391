"""A server of the demo's own: `gatehouse serve` as users start it, in a process that can be killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

START_SECONDS = 60


class ServerError(Exception):
    """The server did not start or did not say what it should."""


@dataclass(kw_only=True, slots=True)
class Server:
    """One run of `gatehouse serve` after another on the same home and port.

    `settings` are `GATEHOUSE_*` variables that it gets; those of this process's own environment it does not.
    """

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    url: str = ""
    token: str = ""
    banner: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it says where it serves."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
        environment |= {"PYTHONUNBUFFERED": "1", **self.settings}
        command = [sys.executable, "-m", "gatehouse", "serve", "--home", str(self.home), "--port", str(self.port)]
        log = (self.home.parent / "server.log").open("a")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own program, no shell
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        timer = Timer(START_SECONDS, self._process.kill)
        timer.start()
        try:
            self._read_banner()
        finally:
            timer.cancel()

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            ServerError: it is not running.
        """
        if self._process is None:
            raise ServerError("The server is not running.")
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would: no signal that it could answer."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """End it politely."""
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(30)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _read_banner(self) -> None:
        if self._process is None or self._process.stdout is None:
            raise ServerError("The server has no output.")
        self.banner = []
        for line in self._process.stdout:
            self.banner.append(line.rstrip("\n"))
            if "trusted root" in line:
                break
        text = "\n".join(self.banner)
        url = re.search(r"serves (http://\S+?:(\d+))", text)
        token = re.search(r"--token (\S+)", text)
        if url is None or token is None:
            raise ServerError(f"The server did not start: see {self.home.parent / 'server.log'}.")
        self.url, self.port, self.token = url[1], int(url[2]), token[1]
