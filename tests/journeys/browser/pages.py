"""Pages of a shop on an origin of their own, in a real browser that collects what goes wrong in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Browser, Page

__all__ = ["OpenPage", "Website", "opened", "website"]

_OF_THE_BROWSER = ("Failed to load resource", "net::ERR_")
"""What Chromium itself logs of a request that fails; no script can prevent it."""


@dataclass
class Website:
    """Static pages by path; `{sku}` of a path `/p/SKU` is filled in."""

    origin: str
    pages: dict[str, str]


@contextmanager
def website(pages: Mapping[str, str]) -> Iterator[Website]:
    """Serve pages on loopback, on a port of their own; `/p/SKU` is the page of a product."""
    served = dict(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            text = served.get(path)
            if text is None and path.startswith("/p/"):
                text = served.get("/p/", "").replace("{sku}", path.removeprefix("/p/"))
            body = (text or "").encode()
            self.send_response(200 if body else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Website(f"http://127.0.0.1:{server.server_port}", served)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class OpenPage:
    """A page, and the errors in it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def opened(chromium: Browser, **options: Any) -> OpenPage:
    """A new page with storage of its own."""
    context = chromium.new_context(**options)
    context.set_default_timeout(60_000)
    page = context.new_page()
    watched = OpenPage(page)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            watched.errors.append(message.text)
            if message.type == "error" and not message.text.startswith(_OF_THE_BROWSER)
            else None
        ),
    )
    page.on("request", lambda request: watched.requests.append(f"{request.method} {request.url}"))
    return watched
