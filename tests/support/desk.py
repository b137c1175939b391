"""The desk of a house: somebody logged in, hostile evidence, and a browser's way of asking over WSGI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin
from wsgiref.types import WSGIApplication

from webob import Request
from webob.headers import ResponseHeaders

from gatehouse.gate.staff import Staff
from gatehouse.malware.model import (
    Classification,
    Confidence,
    Context,
    Finding,
    Kind,
    NotExamined,
    Outcome,
    Screened,
    Subject,
    Tier,
    Verdict,
)
from gatehouse.web.app import make_app
from tests.support.house import HandClock, House, house
from tests.support.staff import CHEAP, PASSWORD, SECRET, code_at

HOST = "localhost:6458"
ORIGIN = f"http://{HOST}"
#: What a page must show as text, and never obey: markup, an attribute's end, a template's braces, and letters that
#: are invisible or turn others around.
HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}\u202egnp.exe\u200b\x1b[31m\U000e0041\ufe0f"
)
_STEP = timedelta(seconds=30)
_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An answer as a browser has it."""

    status: int
    headers: ResponseHeaders
    text: str

    @property
    def token(self) -> str:
        """The token of the page's forms."""
        found = _TOKEN.search(self.text)
        assert found is not None, "the page has no form"
        return found[1]


@dataclass(kw_only=True)
class Browser:
    """Keeps cookies, sends what a browser sends, and follows nothing by itself."""

    app: WSGIApplication
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def get(self, path: str, **changes: str | None) -> Seen:
        """Ask for a page; `changes` are headers or WSGI's own words, None leaves one out."""
        return self._ask(path, "GET", b"", changes)

    def post(self, path: str, fields: Mapping[str, str] | bytes, **changes: str | None) -> Seen:
        """Send a form as one of our own pages would."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        defaults: dict[str, str | None] = {
            "Origin": ORIGIN,
            "Sec_Fetch_Site": "same-origin",
            "Content_Type": "application/x-www-form-urlencoded",
        }
        return self._ask(path, "POST", body, defaults | changes)

    def follow(self, path: str, seen: Seen) -> Seen:
        """Go where an answer points."""
        assert seen.status == 303, seen.text
        return self.get(urljoin(path, seen.headers["Location"]))

    def _ask(self, path: str, method: str, body: bytes, changes: Mapping[str, str | None]) -> Seen:
        request = Request.blank(path, method=method)
        environ: dict[str, str | None] = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
        headers: dict[str, str | None] = {"Host": HOST}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        for name, value in changes.items():
            (environ if name.isupper() else headers)[name.replace("_", "-") if not name.isupper() else name] = (
                value
            )
        request.environ.update({name: value for name, value in environ.items() if value is not None})
        for name, value in headers.items():
            if value is None:
                request.headers.pop(name, None)
            else:
                request.headers[name] = value
        if method == "POST":
            request.body = body
        status, received, pieces = request.call_application(self.app)
        answer = ResponseHeaders(received)
        self.set_cookies = answer.getall("Set-Cookie")
        for line in self.set_cookies:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return Seen(status=int(status.split()[0]), headers=answer, text=b"".join(pieces).decode())


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A house with a desk, and Alice's second factor."""

    house: House
    clock: HandClock
    app: WSGIApplication
    totp: str

    def browser(self) -> Browser:
        """A browser that has never been here."""
        return Browser(app=self.app)

    def code(self) -> str:
        """Alice's code; a new one each time."""
        self.clock.advance(_STEP)
        return code_at(self.totp, self.clock.moment)

    def alice(self) -> Browser:
        """A browser in which Alice has logged in (not through the form, which has a brake)."""
        browser = self.browser()
        staff = self.house.gatehouse.staff
        browser.cookies["gatehouse_session"] = staff.log_in("alice", PASSWORD, self.code(), remote="127.0.0.1")
        return browser

    def log_in(self, browser: Browser, **changes: str) -> Seen:
        """Send the form of the log-in."""
        fields = {"name": "alice", "password": PASSWORD, "code": self.code()}
        return browser.post("/admin/login", {"token": browser.get("/admin/login").token, **fields, **changes})

    def judged(self, name: str, tier: Tier | str = Tier.HOLD) -> int:
        """Upload and screen a wheel of a new project; the number of its file as a subject."""
        filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        self.house.judge.says[filename] = tier
        self.house.wheel(name)
        self.house.work()
        with self.house.gatehouse.database.read() as tx:
            file = tx.catalog.find_file(filename)
            assert file is not None
            subject = file_subject_of(name, filename, file.sha256)
            number = tx.screening.subject_id(subject)
        assert number is not None
        return number

    def add(self, screened: Screened, *, trigger: str = "upload") -> int:
        """Store a screening; the number of its subject."""
        now = self.clock.now()
        with self.house.gatehouse.database.write() as tx:
            tx.screening.add(screened, trigger=trigger, attempt=1, started_at=now, finished_at=now)
            number = tx.screening.subject_id(screened.subject)
        assert number is not None
        return number


@contextmanager
def desk(home: Path, **settings: Any) -> Iterator[Desk]:
    """A house with a desk; log-ins are cheap."""
    clock = HandClock()
    with house(home, clock=clock, **settings) as opened:
        staff = Staff(
            database=opened.gatehouse.database, clock=clock, secret=SECRET, issuer="Gatehouse test", hasher=CHEAP
        )
        opened.gatehouse = replace(opened.gatehouse, staff=staff)
        totp = staff.create("alice", PASSWORD).secret
        yield Desk(house=opened, clock=clock, app=make_app(opened.gatehouse), totp=totp)


def file_subject_of(name: str, filename: str, sha256: str) -> Subject:
    """A file of version 1.0 of this index."""
    return Subject(source="local", kind=Kind.FILE, name=name, version="1.0", filename=filename, sha256=sha256)


def hostile(kind: Kind = Kind.FILE) -> Screened:
    """A screening whose every string is hostile."""
    is_file = kind is Kind.FILE
    subject = Subject(
        source=HOSTILE,
        kind=kind,
        name=HOSTILE,
        version=None if kind is Kind.PROJECT else HOSTILE,
        filename=HOSTILE if is_file else None,
        sha256="ab" * 32 if is_file else None,
    )
    finding = Finding(
        check=HOSTILE,
        version="7",
        message=HOSTILE,
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        context=Context.INSTALL,
        member=HOSTILE,
        line=3,
        chain=(HOSTILE, HOSTILE),
        excerpt=f"{HOSTILE}\n</code></pre>{HOSTILE}",
    )
    verdict = Verdict(
        subject=subject,
        check=HOSTILE,
        version="7",
        classification=Classification.MALICIOUS,
        confidence=Confidence.HIGH,
        tier=Tier.HOLD,
        message=HOSTILE,
    )
    return Screened(
        subject=subject,
        outcome=Outcome.INCOMPLETE,
        tier=Tier.HOLD,
        score=0.967857,
        findings=(finding,),
        verdicts=(verdict,),
        not_examined=(NotExamined(member=HOSTILE, reason=HOSTILE),),
        incomplete_reason=HOSTILE,
        engine_version=HOSTILE,
        checks=((HOSTILE, "7"),),
    )
