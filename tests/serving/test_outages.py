"""What goes away, comes back, or changes while the API runs: answers stay sensible, nothing goes stale."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import redis

from recsys import embedded
from recsys.cache import client as cache
from recsys.cache import keys
from recsys.embedded.processes import free_port
from recsys.errors import Unavailable
from recsys.settings import Settings
from serving.ranking import user_context
from serving.server.app import create_app
from serving.state.refresher import _BackgroundJob, _repeat
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids, touched
from tests.serving.running import running
from tests.support.servers import temporary_var
from tests.support.shop import Shop, forget_connections
from tests.support.waiting import until


@pytest.fixture
def own_redis(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The scored shop with an embedded Valkey of its own, found by `var/` and not running yet."""
    with temporary_var() as var:
        # the models stay where the shop has them
        (var / "models").symlink_to(scored_shop.var / "models")
        monkeypatch.delenv("RECSYS_REDIS__URL")
        monkeypatch.setenv("RECSYS_VAR", str(var))
        forget_connections()
        yield Settings()


def redis_is_well(client: httpx.Client) -> bool:
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    well: bool = ready.json()["parts"]["redis"]["well"]
    return well


def test_redis_may_be_missing_at_the_start_and_come_back_elsewhere(own_redis: Settings) -> None:
    with running(create_app()) as client:
        assert ask(client)["provenance"]["source"] == "stored"
        assert not redis_is_well(client)
        embedded.start(own_redis)
        until(lambda: redis_is_well(client))
        former = cache.redis_url(own_redis)
        pid = next(one.pid for one in embedded.status(own_redis) if one.name == "valkey")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert ask(client)["provenance"]["source"] == "stored"
        until(lambda: not redis_is_well(client))
        _move(own_redis)
        assert embedded.start(own_redis).redis_url != former
        until(lambda: redis_is_well(client))
        # events go to the new one, too
        first = ids(ask(client, novelty="new"))[0]
        event = {"user_id": 1, "product_id": first, "interaction_type": "view"}
        assert client.post("/api/v1/interactions", json=event).status_code == 200
        with cache.connect(cache.redis_url(own_redis)) as found:
            assert found.smembers(keys.recent_interactions(1)) == {str(first).encode()}


def _move(settings: Settings) -> None:
    path = settings.var / "run" / "embedded.json"
    noted = json.loads(path.read_text())
    noted["valkey"]["port"] = free_port()
    path.write_text(json.dumps(noted))


def test_a_product_that_is_gone_leaves_no_gap(client: httpx.Client, scored_shop: Shop) -> None:
    gone = ids(ask(client, 11, limit=15))
    execute(scored_shop, "DELETE FROM recommendations_db.product_recommendations WHERE user_id = 11")
    with cache.connect(scored_shop.redis_url) as found:
        found.delete(keys.stored_recommendations(1, 11))
    execute(scored_shop, "DELETE FROM products_db.products WHERE id = ANY(%s)", gone)
    until(lambda: not set(gone) & set(ids(client.get("/api/v1/products/popular?limit=100").json())))
    until(lambda: client.get(f"/api/v1/products/{gone[0]}/similar").status_code == 404)
    answer = ask(client, 11, limit=20)
    assert len(answer["items"]) == 20
    assert not set(gone) & set(ids(answer))


def test_a_changed_repeat_policy_holds_for_lists_stored_before(
    client: httpx.Client, scored_shop: Shop
) -> None:
    rows = execute(
        scored_shop,
        "SELECT DISTINCT product_id FROM recommendations_db.user_interactions "
        "WHERE user_id = 11 AND interaction_type = 'purchase'",
    )
    bought = {row[0] for row in rows}
    only_seen = touched(scored_shop, 11) - bought
    assert bought & set(ids(ask(client, 11)))
    execute(scored_shop, "INSERT INTO recommendations_db.category_policies VALUES (3, false)")
    until(lambda: not bought & set(ids(ask(client, 11))))
    answer = ask(client, 11, limit=60)
    assert answer["provenance"]["generation"] == 1
    assert only_seen & set(ids(answer)), "what was only looked at may return"


def test_without_postgresql_the_rules_hold_by_what_the_model_remembers(
    scored_shop: Shop, client: httpx.Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(scored_shop, "INSERT INTO recommendations_db.category_policies VALUES (3, false)")
    seen = touched(scored_shop, 11)
    until(lambda: ask(client, 11)["provenance"]["generation"] == 1)
    bought = {
        row[0]
        for row in execute(
            scored_shop,
            "SELECT product_id FROM recommendations_db.user_interactions "
            "WHERE user_id = 11 AND interaction_type = 'purchase'",
        )
    }
    until(lambda: not bought & set(ids(ask(client, 11))))
    redis_client.delete(keys.stored_recommendations(1, 11))

    def down(*_: object) -> None:
        raise Unavailable("PostgreSQL is down")

    monkeypatch.setattr(user_context, "user_interactions", down)
    for parameters in ({"novelty": "new"}, {"limit": 100}, {"novelty": "new", "limit": 100}):
        answer = ask(client, 11, **parameters)
        assert len(answer["items"]) == min(int(str(parameters.get("limit", 20))), 120 - len(seen))
        assert not seen & set(ids(answer)), "the model does not know what of it was bought"
    assert ask(client, 11)["provenance"]["source"] == "live"


@pytest.mark.one_server
def test_a_user_whose_past_was_deleted_is_shown_nothing_of_it(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    execute(scored_shop, "DELETE FROM users_db.users WHERE id = 11")
    redis_client.delete(keys.stored_recommendations(1, 11))
    answer = ask(client, 11)
    assert answer["provenance"]["source"] == "popular"
    assert ids(answer) == ids(client.get("/api/v1/products/popular").json())


def test_a_background_task_outlives_an_error_that_nobody_expected() -> None:
    calls = []

    def step() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("nobody thought of this")

    async def look() -> None:
        task = asyncio.create_task(_repeat(_BackgroundJob("test", 0.01, step)))
        while len(calls) < 3:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(look(), 10))


def test_a_start_that_fails_is_one_clear_line(open_shop: Shop) -> None:
    script = (
        "import sys; from serving.state.refresher import Refresher; from recsys.errors import Unavailable\n"
        "def down(self): raise Unavailable('no shop today')\n"
        "Refresher.refresh_catalogue = down\n"
        "from recsys.cli import run; sys.exit(run(['serve', 'api']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "recsys: the API could not start" in done.stderr
    assert "no shop today" in done.stderr
    assert not (open_shop.var / "run" / "api.json").exists()


def test_a_model_that_fails_in_an_unknown_way_stops_nothing(client: httpx.Client, scored_shop: Shop) -> None:
    odd = shopping.promote(shopping.fit(), "knn-v2", 2)
    (odd.folder / "model.json").write_text("[" * 100_000)  # a RecursionError of the parser
    until(lambda: "goes on serving" in client.get("/health/ready").json()["parts"]["model"]["detail"])
    with running(create_app()) as fresh:  # starts with the model of the stored lists
        assert fresh.get("/health/ready").json()["parts"]["model"]["detail"].startswith("knn-v1 goes on")
        assert ask(fresh)["provenance"]["source"] == "stored"
