"""A scored shop whose API answers on a real socket, and can lose responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from recsys.client import RetryPolicy
from serving.server.app import create_app
from tests.serving.conftest import no_hurry, open_shop, scored_shop, shop_snapshots, trained_shop
from tests.serving.running import running
from tests.support.shop import Shop

__all__ = ["no_hurry", "open_shop", "scored_shop", "shop_snapshots", "trained_shop"]

QUICK = RetryPolicy(first_wait=0.0)
Start = Callable[..., AbstractContextManager[str]]


class LosesResponses:
    """An application that handles requests, and whose first responses never arrive."""

    def __init__(self, app: Any, lost: int, *, silent: bool = False) -> None:
        self.app, self.left, self.silent = app, lost, silent
        self.requests: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests.append((scope["method"], scope["path"]))
        if self.left == 0:
            await self.app(scope, receive, send)
            return
        self.left -= 1

        async def lose(message: Any) -> None:
            await asyncio.sleep(0)

        await self.app(scope, receive, lose)
        if self.silent:
            await asyncio.sleep(1.5)
        await send({"type": "http.response.start", "status": 502, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def _address_of(lost: int = 0, *, silent: bool = False) -> Iterator[tuple[str, LosesResponses]]:
    app = LosesResponses(create_app(), lost, silent=silent)
    with running(app) as client:  # type: ignore[arg-type]
        yield str(client.base_url), app


@pytest.fixture
def start(scored_shop: Shop) -> Start:
    """Starts the API; yields its address and its record of requests."""
    return _address_of  # type: ignore[return-value]


@pytest.fixture
def address(scored_shop: Shop) -> Iterator[str]:
    """The address of a running API."""
    with _address_of() as (url, _):
        yield url
