"""A website with `recsys.js` beside the API of a scored shop, in a real browser."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import make_user_token
from recsys.write_buffer import drain
from serving.server.app import create_app
from tests.journeys.browser.pages import OpenPage, Website, opened, website
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import chromium

__all__ = ["FEEDBACK", "HEAD", "HOME", "ITEMS", "PRODUCT", "SCRIPT", "Web", "product_of", "web"]

SCRIPT = '<script type="module" src="{api}/recsys.js" data-key="{key}"></script>'
HEAD = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Shop</title>'
HOME = (
    HEAD
    + SCRIPT
    + '<body><h1>Shop</h1><recsys-list placement="for_you" limit="4" heading="For you"></recsys-list>'
    + "<p>End</p>"
)
PRODUCT = (
    HEAD
    + SCRIPT
    + """<script type="module">recsys.track('view', {sku: '{sku}'})</script>
    <body><h1>{sku}</h1>
    <button onclick="recsys.track('purchase', {id: 'order-1', items: [{sku: '{sku}', quantity: 2}]})">
    Buy</button>
    <recsys-list placement="similar" sku="{sku}" limit="4"></recsys-list>"""
)
ITEMS = "recsys-list li[part=item]"


@dataclass
class Web:
    """A shop's website beside its API, and a browser."""

    shop: Shop
    site: Website
    chromium: Browser
    port: int
    key: str
    server: ExitStack
    page: Page | None = None

    @property
    def api(self) -> str:
        """The address of the API, which is another origin than the site's."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, **pages: str) -> None:
        """Add pages with the script in their head."""
        for path, body in pages.items():
            self.site.pages[f"/{path}"] = self.filled(HEAD + SCRIPT + "<body>" + body)

    def filled(self, text: str) -> str:
        """The text with the API's address and the key."""
        return text.replace("{api}", self.api).replace("{key}", self.key)

    def start(self) -> None:
        """Start the API at its port."""
        self.server.enter_context(running(create_app(), self.port))

    def stop(self) -> None:
        """Stop the API."""
        self.server.close()

    def visit(self, path: str = "/", **options: Any) -> OpenPage:
        """Open a page of the site as a new visitor."""
        watched = opened(self.chromium, **options)
        self.page = watched.page
        watched.page.goto(self.site.origin + path)
        return watched

    def pause(self, seconds: float) -> None:
        """Wait while the page goes on, and while its requests reach the handlers of the test."""
        assert self.page is not None
        self.page.wait_for_timeout(seconds * 1000)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What PostgreSQL has."""
        with self.shop.connect() as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def wait_for(self, query: str, count: int) -> list[tuple[Any, ...]]:
        """The rows of a query once there are so many, and a moment later still no more."""
        for _ in range(300):
            if len(self.rows(query)) >= count:
                break
            # feedback that is faster than the log of its list waits for what a worker does
            drain.run(threading.Event(), once=True)
            self.pause(0.2)
        self.pause(0.5)
        rows = self.rows(query)
        assert len(rows) == count, (query, rows)
        return rows

    def token(self, user: str) -> str:
        """A signed token, as the shop's server makes it."""
        with unit_of_work() as session:
            row = api_keys.publishable(session, self.key)
            return make_user_token(user_token_secrets(row.prefix, row.signing_epoch)[0], user)


@pytest.fixture
def web(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The scored shop behind its API, with a website on another origin."""
    monkeypatch.setenv("RECSYS_SHOP__PRODUCT_URL", "/p/{sku}")
    get_settings.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with ExitStack() as server, website({}) as site:
        with unit_of_work() as session:
            key = api_keys.publish(session, "page", [site.origin], by="tests").key
        with chromium() as browser:
            web = Web(scored_shop, site, browser, port, key, server)
            site.pages |= {"/": web.filled(HOME), "/p/": web.filled(PRODUCT)}
            web.start()
            yield web


FEEDBACK = "SELECT product_id, feedback_type FROM recommendations_db.recommendation_feedback WHERE "


def product_of(page: Page) -> int:
    return int(page.url.rpartition("sku")[2])
