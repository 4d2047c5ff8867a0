"""A shop that was Gorse's: keys, the official client, and requests by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from gorse import Gorse

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings


@dataclass
class FormerShop:
    """The API in production, with the one key that a shop gives its Gorse client."""

    client: httpx.Client
    keys: dict[str, str]

    @property
    def gorse(self) -> Gorse:
        return Gorse(f"{str(self.client.base_url).rstrip('/')}/gorse", self.keys["all"], timeout=30)

    def send(self, method: str, path: str, *, key: str | None = "all", **options: Any) -> httpx.Response:
        headers = {} if key is None else {"X-API-Key": self.keys[key]}
        return self.client.request(method, f"/gorse/api{path}", headers=headers, **options)


@pytest.fixture
def former(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> FormerShop:
    with unit_of_work() as session:
        keys = {scope: api_keys.create(session, scope, [scope], by="tests").key for scope in api_keys.SCOPES}
        keys["all"] = api_keys.create(session, "gorse", list(api_keys.SCOPES), by="tests").key
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    get_settings.cache_clear()
    return FormerShop(client, keys)
