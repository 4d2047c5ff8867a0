"""The pictures of the README: the shop front after three products, and the console."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from recsys.environment import running_api
from recsys.settings import get_settings
from tests.support.web.pages import VIEWS, chromium, opened_page

__all__ = ["MOST_BYTES", "main"]

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "pictures"
MOST_BYTES = 150_000
_COLOURS = 240
_LOOKED_AT = ("tortilla chips", "salsa", "shredded cheese")


def main() -> int:
    """Take them all; the address of another API can be given as argument."""
    address = sys.argv[1] if len(sys.argv) > 1 else running_api(get_settings().var)
    if address is None:
        sys.stderr.write("no API runs here; start the demo with `make demo`, or give an address\n")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for name, view, walk in (
            ("shop-front", VIEWS[0], _shop_front),
            ("console", VIEWS[0], _console),
        ):
            with opened_page(browser, view) as (page, _):
                walk(page, address)
                _keep(page, FOLDER / f"{name}.png")
    return 0


def _shop_front(page: Page, address: str) -> None:
    """The home page of a guest who looked at three products."""
    ready = "recsys-list[placement=for_you][state=ready]"
    page.goto(f"{address}/shop")
    page.wait_for_selector(ready)
    for words in _LOOKED_AT:
        page.goto(f"{address}/shop/search?q={words}")
        page.locator(".products a").first.click()
        page.wait_for_selector("recsys-list[state=ready]")
        page.wait_for_timeout(3000)
    page.goto(f"{address}/shop")
    page.wait_for_selector(f"{ready} .fresh")
    page.wait_for_load_state("networkidle")


def _console(page: Page, address: str) -> None:
    page.goto(f"{address}/console")
    # the parts are examined in the background
    page.wait_for_timeout(8000)
    page.goto(f"{address}/console")
    page.wait_for_load_state("networkidle")


def _keep(page: Page, path: Path) -> None:
    """Store a picture in few colours, so that it stays small.

    Raises ValueError for a file that is too large.
    """
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size >= MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; expected less than {MOST_BYTES}")
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    sys.exit(main())
