"""The story of the demo, step by step. Each step says what it does, does it, and verifies what it said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatehouse.cli.demo import packages
from gatehouse.cli.demo.client import REFUSED, Client, Verifier, pip_install
from gatehouse.cli.demo.moderator import Moderator
from gatehouse.cli.demo.server import Server, ServerError

NAME = packages.NAME
_PAGES = (f"simple/{NAME}/index.html", f"simple/{NAME}/index.v1.json")
_PATIENCE = 20.0


class StoryError(Exception):
    """A step did not go as it said."""


def tell(folder: Path, say: Callable[[str], None]) -> None:
    """Play the story in an empty folder.

    Raises:
        StoryError: a step could not be verified.
    """
    server = Server(home=folder / "home")
    try:
        _Story(folder, say, server).tell()
    except (ServerError, *REFUSED) as error:
        raise StoryError(str(error)) from error
    finally:
        server.stop()


@dataclass
class _Story:
    folder: Path
    say: Callable[[str], None]
    server: Server
    step: int = 0

    def tell(self) -> None:
        self.head("Set up an index on a temporary home, with keys made in a development ceremony, and serve it")
        self.server.start()
        self.done(f"it serves {self.server.url}")
        self.client = Client(self.server.url, self.server.token)
        # The one thing that a client must get from elsewhere: here it is copied from the server's own disk.
        root = (self.server.home / "tuf" / "metadata" / "1.root.json").read_bytes()
        self.fresh = Verifier(self.folder / "fresh", self.server.url, root)
        self.resting = Verifier(self.folder / "resting", self.server.url, root)
        self.resting.download([])
        self.wheel, self.sdist = packages.wheel("1.0"), packages.sdist("1.0")
        self.upload()
        self.verify()
        self.install()
        self.refuse()
        self.yank_and_delete()
        self.hold_and_decide()
        self.crash()

    def upload(self) -> None:
        self.head("Build a wheel and an sdist, and upload them as twine does")
        for filename, content in (self.wheel, self.sdist):
            status, reason = self.client.upload(filename, content)
            self.expect(status == 200, f"{filename} is taken, not answered {status} {reason}")  # noqa: PLR2004
        began = time.monotonic()
        self.wait(lambda: len(self.files()) == 2, "both files on the simple page")  # noqa: PLR2004
        self.done(f"the simple page listed both {time.monotonic() - began:.2f} s later")

    def verify(self) -> None:
        self.head("Verify with python-tuf's client, started from the trusted root alone")
        expected = {self.path(filename): content for filename, content in (self.wheel, self.sdist)}
        found = self.fresh.download([*_PAGES, *expected])
        for path, content in expected.items():
            self.expect(found[path] == content, f"{path} is the file that was uploaded")
        html = self.client.get(f"/simple/{NAME}/", "text/html")
        self.expect(found[_PAGES[0]] == html, "the HTML page that people see is the one that was signed")
        json_page = self.client.get(f"/simple/{NAME}/", "application/vnd.pypi.simple.v1+json")
        self.expect(found[_PAGES[1]] == json_page, "the JSON page that pip sees is the one that was signed")
        self.done("both pages and both files are targets, byte for byte")

    def install(self) -> None:
        self.head("Install it with pip")
        folder = self.folder / "site"
        result = pip_install(self.server.url, NAME, folder)
        answer = f"{result.stdout[-400:]} {result.stderr[-400:]}"
        self.expect(result.returncode == 0, f"pip installs it; it said: {answer}")
        script = "import gatehouse_demo; print(gatehouse_demo.hello())"
        said = subprocess.run(  # noqa: S603 -- the module that this demo wrote
            [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
        )
        self.expect(said.stdout.strip() == "hello from 1.0", f"the module says hello, not {said.stdout!r}")
        self.done("pip installed it and it says hello")

    def refuse(self) -> None:
        self.head("Offer what must not be taken")
        filename, content = self.wheel
        status, reason = self.client.upload(filename, content)
        self.expect(status == 200, f"the same file again is success, not {status} {reason}")  # noqa: PLR2004
        _, other = packages.wheel("1.0", note="# changed\n")
        status, reason = self.client.upload(filename, other)
        self.refused(status, reason, "other content under a known filename")
        status, reason = self.client.upload(*packages.wheel("1.1"), token="gatehouse-forged")  # noqa: S106
        self.refused(status, reason, "a forged token")
        filename, content = packages.wheel("1.2")
        status, reason = self.client.upload(filename, content[: len(content) // 2])
        self.refused(status, reason, "a truncated archive")
        self.expect(len(self.files()) == 2, "nothing of it was stored")  # noqa: PLR2004
        self.done("all refused, nothing stored")

    def yank_and_delete(self) -> None:
        self.head("Yank the release, then delete its sdist, as the owner")
        status = self.client.act("PUT", f"projects/{NAME}/releases/1.0/yank", {"reason": "a demo"})
        self.expect(status < 300, f"the yank is done, not answered {status}")  # noqa: PLR2004
        self.wait(lambda: all(file["yanked"] == "a demo" for file in self.files()), "the yank on the page")
        filename = self.sdist[0]
        status = self.client.act("DELETE", f"projects/{NAME}/releases/1.0/files/{filename}")
        self.expect(status < 300, f"the deletion is done, not answered {status}")  # noqa: PLR2004
        self.wait(lambda: len(self.files()) == 1, "the sdist off the page")
        found = self.resting.download([self.path(filename), self.path(self.wheel[0])])
        self.expect(found[self.path(filename)] is None, "the sdist is no longer a target")
        self.expect(found[self.path(self.wheel[0])] == self.wheel[1], "the wheel still is")
        self.done("a client that has rested since the start sees the same")

    def hold_and_decide(self) -> None:
        filename, content = packages.sdist("3.0", setup=packages.HOSTILE_SETUP)
        path = self.path(filename)
        self.head("Upload an sdist whose setup.py downloads and executes (an inert sample), and see it held")
        moderator = Moderator(self.server.home, self.server.port)
        moderator.log_in()
        status, reason = self.client.upload(filename, content)
        self.expect(status == 200, f"the upload is taken, not answered {status} {reason}")  # noqa: PLR2004
        self.wait(lambda: filename in moderator.queue(), "the file in the list of what waits")
        self.expect(not self.lists(filename), "it is not on the simple page")
        self.expect(self.resting.download([path])[path] is None, "it is no TUF target")
        self.expect(self.client.status(f"/files/{NAME}/{filename}") == 404, "it cannot be fetched")  # noqa: PLR2004
        subject, evidence = moderator.open(filename)
        for words in ("download-and-execute", "setup.py", "urlopen", "payload.invalid"):
            self.expect(words in evidence, f"the desk shows {words!r} among the evidence")
        self.done("held; the desk shows the lines that condemned it")

        self.head("Let it through as a person who logged in with password and TOTP")
        moderator.decide(subject, "let-through", "An inert sample of the demo.")
        began = time.monotonic()
        self.wait(lambda: self.lists(filename), "the file on the simple page")
        waited = time.monotonic() - began
        self.expect(self.resting.download([path])[path] == content, "it is a TUF target now")
        self.expect(filename not in moderator.queue(), "it waits no longer")
        self.done(f"published and signed {waited:.2f} s later")

        self.head("Remove it again")
        moderator.decide(subject, "remove", "The demo has shown what it should.")
        self.wait(lambda: not self.lists(filename), "the file off the simple page")
        self.expect(self.resting.download([path])[path] is None, "it is no target any more")
        self.done("out of the pages and out of TUF")

    def crash(self) -> None:
        self.head("Upload, kill the server with SIGKILL at once, start it again")
        filename, content = packages.wheel("2.0")
        status, reason = self.client.upload(filename, content)
        self.server.kill()
        self.expect(status == 200, f"the upload is taken, not answered {status} {reason}")  # noqa: PLR2004
        self.server.start()
        self.wait(lambda: len(self.files()) == 2, "the new wheel on the page")  # noqa: PLR2004
        for client in (self.resting, self.fresh):
            found = client.download([*_PAGES, self.path(filename)])
            self.expect(found[self.path(filename)] == content, "the new wheel is the one that was uploaded")
        self.done("nothing was lost, and no client refuses what is served")

    # --- saying and verifying ------------------------------------------------------------------------------------

    def head(self, text: str) -> None:
        self.step += 1
        self.say(f"{self.step}. {text}.")

    def done(self, text: str) -> None:
        self.say(f"   ok: {text}.")

    def expect(self, truth: bool, text: str) -> None:  # noqa: FBT001 -- reads as a sentence where it is used
        if not truth:
            raise StoryError(f"step {self.step}: expected that {text}")

    def refused(self, status: int, reason: str, what: str) -> None:
        self.expect(400 <= status < 500, f"{what} is refused, not {status}")  # noqa: PLR2004
        self.say(f"   {what}: {status} {reason}")

    def wait(self, truth: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not truth():
            if time.monotonic() > deadline:
                raise StoryError(f"step {self.step}: {what} did not come within {_PATIENCE:.0f} s")
            time.sleep(0.02)

    def lists(self, filename: str) -> bool:
        return filename in {file["filename"] for file in self.files()}

    def files(self) -> list[dict[str, object]]:
        page = self.client.page(NAME)
        return [] if page is None else page["files"]

    @staticmethod
    def path(filename: str) -> str:
        return f"files/{NAME}/{filename}"
