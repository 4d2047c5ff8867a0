"""The shop front of the scored shop."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving.server.app import create_app
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import send_form

__all__ = ["become", "front"]


@pytest.fixture
def front(searchable_shop: Shop) -> Iterator[httpx.Client]:
    """A browser without scripts at the shop front; it keeps its cookies."""
    with running(create_app()) as client:
        yield client


def become(client: httpx.Client, username: str) -> None:
    """Choose to be a user; an empty name for a new guest."""
    answer = send_form(client, "/shop/visitor", {"username": username}, page="/shop")
    assert answer.status_code == 303, answer.text
