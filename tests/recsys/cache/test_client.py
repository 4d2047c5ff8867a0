"""The client of this process talks to the configured or the embedded server."""

from __future__ import annotations

import pytest
import redis

from recsys.cache import client
from recsys.errors import Unavailable
from recsys.settings import Settings
from tests.support.servers import Servers
from tests.support.shop import Shop


def test_the_embedded_address_is_found(servers: Servers) -> None:
    assert client.redis_url(servers.settings) == servers.redis_url


def test_a_configured_address_wins(servers: Servers) -> None:
    chosen = Settings(var=servers.settings.var, redis={"url": "redis://elsewhere:1/2"})
    assert client.redis_url(chosen) == "redis://elsewhere:1/2"


def test_without_a_server_the_error_names_the_remedy(tmp_path: object) -> None:
    with pytest.raises(Unavailable, match="recsys up"):
        client.redis_url(Settings(var=tmp_path))


def test_the_client_of_the_process_reaches_the_shop(shop: Shop, redis_client: redis.Redis) -> None:
    client.get_redis().set("here", b"\x00\xff")
    assert redis_client.get("here") == b"\x00\xff"
    assert client.get_redis() is client.get_redis()
