"""The moderator of the demo: logs in to the desk with password and TOTP, reads it, decides; over HTTP alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import pyotp
import urllib3

from gatehouse.cli.demo.server import ServerError

NAME = "moderator"
_PASSWORD = "a demo of the gate"  # noqa: S105 -- of an account that ends with the demo
_LINK = re.compile(r'<a[^>]*href="([^"]*subjects/\d+)"[^>]*>(.*?)</a>', re.DOTALL)
_TOKEN = re.compile(r'name="token" value="([^"]+)"')


class Moderator:
    """One person at the desk."""

    def __init__(self, home: Path, port: int) -> None:
        self._origin = f"http://localhost:{port}"
        self._pool = urllib3.PoolManager(retries=False, timeout=30)
        self._cookies: dict[str, str] = {}
        self._secret = _create_account(home)

    def log_in(self) -> None:
        """Log in with the password and the code of the moment."""
        form = self._get("/admin/login")
        fields = {"name": NAME, "password": _PASSWORD, "code": pyotp.TOTP(self._secret).now(), "next": ""}
        self._post("/admin/login", fields | {"token": _token(form)})

    def queue(self) -> str:
        """The list of what waits, as text."""
        return _text(self._get("/admin/"))

    def open(self, filename: str) -> tuple[str, str]:
        """The subject page of a file that waits: its path, and what stands on it as text."""
        page = self._get("/admin/")
        for href, label in _LINK.findall(page):
            if filename in _text(label):
                path = "/admin/subjects/" + href.rpartition("/")[2]
                return path, _text(self._get(path))
        raise ServerError(f"The desk has no link to {filename}.")

    def decide(self, path: str, action: str, reason: str) -> None:
        """Decide on the subject whose page is at `path`."""
        token = _token(self._get(path))
        self._post(f"{path}/decide", {"action": action, "reason": reason, "token": token})

    def _get(self, path: str) -> str:
        return self._ask("GET", path, HTTPStatus.OK).data.decode()

    def _post(self, path: str, fields: dict[str, str]) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin}
        self._ask("POST", path, HTTPStatus.SEE_OTHER, body=urlencode(fields), headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        expected: HTTPStatus,
        *,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        response = self._pool.request(
            method,
            f"{self._origin}{path}",
            body=body,
            headers={"Cookie": cookie} | (headers or {}),
            redirect=False,
        )
        for line in response.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        if response.status != expected:
            raise ServerError(f"The desk answered {response.status} to {method} {path}.")
        return response


def _create_account(home: Path) -> str:
    """Make the account with `gatehouse user create`, as an administrator would; its TOTP secret."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    made = subprocess.run(  # noqa: S603 -- our own program, no shell
        [sys.executable, "-m", "gatehouse", "user", "create", NAME, "--password-stdin"],
        input=_PASSWORD + "\n",
        env=environment | {"GATEHOUSE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    secret = re.search(r"^Secret\s+(\S+)$", made.stdout, re.MULTILINE)
    if secret is None:
        raise ServerError(f"The moderator's account was not made: {made.stderr[-300:]}")
    return secret[1]


def _token(page: str) -> str:
    match = _TOKEN.search(page)
    if match is None:
        raise ServerError("A form of the desk has no token.")
    return unescape(match[1])


def _text(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))
