"""A moderator at the desk, with a real browser: log in, read, decide, and on a phone too.

With SCREENSHOTS_TO naming a folder, each screen is left there as a picture, for people to look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gatehouse.malware.model import Tier
from tests.support import quiet_pyramid
from tests.support.desk import Desk, desk, hostile
from tests.support.serving import serving
from tests.support.staff import PASSWORD
from tests.support.system import need

__all__ = ["quiet_pyramid"]

pytestmark = pytest.mark.system

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = need("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("browser") / "home") as ready:
        yield ready


@pytest.fixture(scope="module")
def address(house: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(house.app, tmp_path_factory.mktemp("serving")) as port:
        yield f"http://localhost:{port}"


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=address, viewport=WIDE)  # type: ignore[arg-type]  # a TypedDict of ints
    yield context
    context.close()


@pytest.fixture
def faults(context: BrowserContext) -> list[str]:
    """What the browser complains of: scripts, policies, requests that failed."""
    found: list[str] = []
    context.on("console", lambda message: found.append(message.text))
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found


def log_in(page: Page, house: Desk) -> None:
    page.goto("/admin/")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code").fill(house.code())
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What waits")


def look(page: Page, name: str) -> None:
    """No screen is wider than its window; a picture of it, where somebody wants one."""
    for size in (WIDE, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a TypedDict of ints
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{name} is {width} wide at {size['width']}"
        folder = os.environ.get("SCREENSHOTS_TO")
        if folder:
            page.screenshot(path=Path(folder) / f"desk-{name}-{size['width']}.png", full_page=True)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]  # a TypedDict of ints


def test_a_moderator_logs_in_reads_decides_and_the_list_is_shorter(
    context: BrowserContext, house: Desk, faults: list[str]
) -> None:
    house.judged("waiting-thing", Tier.HOLD)
    house.judged("milder-thing", Tier.QUEUE)
    house.judged("unfinished-thing", "The child did not answer within 60 seconds.")
    page = context.new_page()
    page.goto("/admin/")
    look(page, "login")
    log_in(page, house)
    look(page, "queue")
    page.get_by_role("link", name="waiting_thing-1.0-py3-none-any.whl").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("waiting_thing-1.0-py3-none-any.whl")
    expect(page.get_by_text("The test says so.")).to_be_visible()
    expect(page.get_by_text("exec(payload)")).to_be_visible()
    look(page, "subject")
    page.get_by_label("Let through").check()
    page.get_by_label("Reason").fill("Read it: only a version check.")
    page.get_by_role("button", name="Record the decision").click()
    expect(page.get_by_text("Read it: only a version check.")).to_be_visible()
    expect(page.get_by_text("published", exact=True)).to_be_visible()
    look(page, "decided")
    page.get_by_role("link", name="What waits").click()
    expect(page.get_by_role("link", name="milder_thing")).to_be_visible()
    expect(page.get_by_role("link", name="waiting_thing-1.0")).to_have_count(0)
    for name in ("Decisions", "Audit log"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        look(page, name.split()[0].lower())
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    page.goto("/admin/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert faults == []


def test_a_campaign_is_removed_by_one_decision(context: BrowserContext, house: Desk, faults: list[str]) -> None:
    house.house.judge.fingerprints |= {
        f"campaign_{part}-1.0-py3-none-any.whl": (11, 12) for part in ("one", "two", "three")
    }
    first = house.judged("campaign-one", Tier.HOLD)
    for part in ("two", "three"):
        house.judged(f"campaign-{part}", Tier.QUEUE)
    page = context.new_page()
    log_in(page, house)
    page.goto(f"/admin/subjects/{first}")
    page.get_by_role("link", name="Other files of nearly the same code: 2").click()
    for part in ("two", "three"):
        page.get_by_label(f"Choose campaign_{part}-1.0-py3-none-any.whl").check()
    look(page, "copies")
    page.get_by_label("Remove").check()
    page.get_by_label("Reason").fill("The same thief under other names.")
    page.get_by_role("button", name="Record the decisions").click()
    expect(page.get_by_role("cell", name="removed by a decision")).to_have_count(2)
    page.get_by_role("link", name="Checks", exact=True).click()
    look(page, "checks")
    assert faults == []


def test_hostile_evidence_is_only_text(context: BrowserContext, house: Desk, faults: list[str]) -> None:
    number = house.add(hostile())
    page = context.new_page()
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    log_in(page, house)
    look(page, "hostile-queue")
    page.goto(f"/admin/subjects/{number}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>alert(1)</script>")
    assert page.locator("script, img, iframe, style, [style], [onerror]").count() == 0
    look(page, "hostile-subject")
    assert faults == []


def test_the_desk_works_from_the_keyboard_and_in_the_dark(
    browser: Browser, address: str, house: Desk, faults: list[str]
) -> None:
    number = house.judged("keyboard-thing")
    dark = browser.new_context(base_url=address, color_scheme="dark", viewport=PHONE)  # type: ignore[arg-type]  # a TypedDict of ints
    page = dark.new_page()
    log_in(page, house)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.goto(f"/admin/subjects/{number}")
    page.get_by_label("Remove").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("It downloads and runs.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("removed by a decision")).to_be_visible()
    look(page, "dark")
    dark.close()
    assert faults == []


def test_a_refused_log_in_says_so_and_keeps_the_name(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/admin/login")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("not the password")
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Name, password or code are not right")
    expect(page.get_by_label("Name")).to_have_value("alice")
    expect(page.get_by_label("Password")).to_have_value("")
    look(page, "refused")
