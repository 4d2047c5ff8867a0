"""A shop whose recommendations lie on a server of their own: what goes on while that one is away."""

from __future__ import annotations

import threading

import psycopg
import pytest

from recsys.database.servers.placement import ServerName
from recsys.database.session import dispose_engines
from recsys.settings import get_settings
from recsys.write_buffer import drain
from serving.server.app import create_app
from tests.serving.api.answers import ask, ids
from tests.serving.running import running
from tests.support.shop import Shop

_AWAY = "postgresql://a:b@127.0.0.1:9/elsewhere"
_VIEWS = "SELECT count(*) FROM recommendations_db.user_interactions WHERE user_id = 1 AND product_id = 65"


def test_lists_are_answered_and_interactions_wait(
    other_servers: dict[ServerName, str], scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"user_id": 1, "product_id": 65, "interaction_type": "view"}
    with psycopg.connect(scored_shop.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM recommendations_db.stored_lists").fetchone() == (0,)
    with scored_shop.connect() as connection:
        row = connection.execute(_VIEWS).fetchone()
        assert row is not None
        before = row[0]
    with running(create_app()) as client:
        first = ask(client, 2)
        assert first["provenance"]["source"] == "stored"
        popular = ids(client.get("/api/v1/products/popular").json())
        address = other_servers["recommendations"]
        monkeypatch.setenv("RECSYS_DATABASE__RECOMMENDATIONS_URL", _AWAY)
        get_settings.cache_clear()
        dispose_engines()
        again = ask(client, 2)
        assert (again["items"], again["provenance"]["source"]) == (first["items"], "stored")
        assert ids(client.get("/api/v1/products/popular").json()) == popular
        assert len(ask(client, 12, novelty="new", limit=10)["items"]) == 10
        posted = client.post("/api/v1/interactions", json=event)
        assert posted.status_code == 202, posted.text
        assert client.get("/api/v1/products/65").status_code == 200
        monkeypatch.setenv("RECSYS_DATABASE__RECOMMENDATIONS_URL", address)
        get_settings.cache_clear()
        dispose_engines()
        assert drain.run(threading.Event(), once=True) == 1
    with scored_shop.connect() as connection:
        assert connection.execute(_VIEWS).fetchone() == (before + 1,)
