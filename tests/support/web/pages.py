"""What every page must keep, looked at in a real browser, and forms sent as a browser sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.web.browser import CHROMIUM

__all__ = [
    "DESKTOP",
    "PHONE",
    "VIEWS",
    "PageView",
    "assert_page_is_sound",
    "assert_row_headers_keep_words",
    "chromium",
    "faults_of",
    "form_token",
    "opened_page",
    "send_form",
]

PHONE, DESKTOP = (390, 844), (1440, 900)


@dataclass(frozen=True)
class PageView:
    """How a page is looked at. theme : light or dark."""

    name: str
    size: tuple[int, int]
    theme: str


VIEWS = (
    PageView("desktop-light", DESKTOP, "light"),
    PageView("desktop-dark", DESKTOP, "dark"),
    PageView("phone-light", PHONE, "light"),
    PageView("phone-dark", PHONE, "dark"),
)

_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
_SCRIPT = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")


def form_token(client: httpx.Client, path: str) -> str:
    """The token of the forms of a page; the client keeps the cookie that belongs to it."""
    found = _TOKEN.search(client.get(path).text)
    assert found is not None, f"{path} has no form"
    return found[1]


def send_form(
    client: httpx.Client, path: str, fields: Mapping[str, object], *, page: str = "/console"
) -> httpx.Response:
    """Send a form to `path` as the page `page` would; redirects are not followed."""
    given = {**fields, "form_token": form_token(client, page)}
    return client.post(path, data={name: str(value) for name, value in given.items()})


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened_page(browser: Browser, view: PageView) -> Iterator[tuple[Page, list[str]]]:
    """A page of this size and theme, and the list of what goes wrong in it: errors, requests elsewhere."""
    width, height = view.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if view.theme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(60_000)
    page, wrong = context.new_page(), list[str]()
    hosts: set[str] = set()

    def note_request(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("data", "blob", "about"):
            return
        hosts.add(address.netloc)
        if len(hosts) > 1:
            wrong.append(f"request to another host: {request.url}")

    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None,
    )
    page.on("request", note_request)
    try:
        yield page, wrong
    finally:
        context.close()


def faults_of(page: Page) -> list[str]:
    """What an open page lacks: names of controls, contrast, one heading, room, a visible order of focus."""
    found: Sequence[str] = page.evaluate(_SCRIPT)
    return list(found)


def assert_page_is_sound(page: Page, wrong: Sequence[str], picture: Path | None = None) -> None:
    """Assert that the open page has no fault; picture : file for a picture of all of it."""
    faults = faults_of(page)
    if picture is not None:
        # after the look: Playwright sets styles of its own while it takes a picture
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(picture), full_page=True)
    assert [*wrong, *faults] == [], page.url


_LONG_NAMES = """() => {
  for (const cell of document.querySelectorAll("tbody th")) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      if (texts.currentNode.data.trim()) texts.currentNode.data = "Spreewald Feinschmeckerauswahl 12";
    }
  }
}"""


def assert_row_headers_keep_words(page: Page) -> None:
    """Assert that no row header of the open page would break inside a word of a long name."""
    page.evaluate(_LONG_NAMES)
    assert [fault for fault in faults_of(page) if "inside a word" in fault] == [], page.url
