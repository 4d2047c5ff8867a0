"""Going back to the former model: its lists too, in one switch, with their ids, whatever else goes on."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from models.registry import registry
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists import rows as list_rows
from recsys.domains.recommendations.stored_lists.codec import unpack
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.errors import Conflict
from serving.batch import scoring
from tests.serving import shopping
from tests.serving.api.answers import ask, execute
from tests.serving.batch.refreshing import ROWS
from tests.support.shop import Shop
from tests.support.waiting import until


def statuses(shop: Shop) -> list[tuple[int, str]]:
    rows = execute(shop, "SELECT id, status FROM recommendations_db.recommendation_generations ORDER BY id")
    return [(row[0], row[1]) for row in rows]


def roll_back(shop: Shop, *options: str) -> dict[str, Any]:
    done = shop.run("train", "rollback", "--reason", "it sells less", "--json", *options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def promote_and_score(name: str = "popularity-v1") -> None:
    shopping.promote(shopping.fit("popularity"), name)
    scoring.score()


def test_rows_equal_the_packed_lists(scored_shop: Shop) -> None:
    by_user: dict[int, list[Any]] = {}
    for row in execute(scored_shop, ROWS):
        by_user.setdefault(row[0], []).append(row)
    assert len(by_user) == 29
    for user, rows in by_user.items():
        with unit_of_work() as session:
            stored = read_list(session, user)
        assert stored is not None
        new = sorted((row for row in rows if "new" in row[6]), key=lambda row: row[6]["new"]["rank"])
        assert [row[1] for row in new] == [entry.product for entry in stored.new]
        assert [row[6]["new"]["score"] * 10_000 for row in new] == pytest.approx(
            [entry.score for entry in stored.new]
        )
        ranked = sorted((row for row in rows if "any" in row[6]), key=lambda row: row[6]["any"]["rank"])
        assert [row[1] for row in ranked] == [entry.product for entry in stored.entries]
        assert [round(row[4] * 10_000) for row in ranked] == [entry.score for entry in stored.entries]
        assert [row[3] for row in ranked] == [entry.kind.word for entry in stored.entries]
        assert [row[6]["evidence"] for row in ranked] == [entry.evidence for entry in stored.entries]
        assert [row[6]["novel"] for row in ranked] == [entry.novel for entry in stored.entries]
        assert ["bought" in row[6] for row in ranked] == [entry.bought for entry in stored.entries]


def test_stored_reasons_equal_those_of_responses(scored_shop: Shop, client: httpx.Client) -> None:
    long = "Coffee “" + "x" * 200
    execute(scored_shop, "UPDATE products_db.products SET name = %s WHERE id <= 60", long)
    scoring.score()
    until(lambda: ask(client)["provenance"]["generation"] == 2)
    until(lambda: any(item["name"] == long for item in ask(client)["items"]))
    by_product = {row[1]: row[5] for row in execute(scored_shop, ROWS) if row[0] == 1}
    for item in ask(client, limit=40)["items"]:
        assert by_product[item["product_id"]] == item["reason"]["text"]
    assert any(text.endswith("…") and len(text) == 100 for text in by_product.values())


def test_a_rollback_restores_model_lists_and_rows(
    scored_shop: Shop, client: httpx.Client, redis_client: redis.Redis
) -> None:
    before, answer = execute(scored_shop, ROWS), ask(client)
    promote_and_score()
    until(lambda: ask(client)["provenance"]["model"] == "popularity-v1")
    assert execute(scored_shop, ROWS) != before

    done = roll_back(scored_shop)
    assert (done["active"], done["lists"], done["generation"]) == ("knn-v1", "switched", 1)
    assert execute(scored_shop, ROWS) == before, "the same rows with the same ids"
    assert statuses(scored_shop) == [(1, "live"), (2, "former")]
    assert redis_client.get("recommendations:generation") == b"1"
    until(lambda: ask(client)["items"] == answer["items"])
    assert ask(client)["provenance"]["generation"] == 1
    with unit_of_work() as session:
        serving, last = registry.active(session), registry.history(session)[0]
        assert serving is not None
        assert serving.name == "knn-v1"
        assert last.figures["generation_before"] == 2
    # each was shown in a period of its own, the first one in two
    periods = execute(
        scored_shop, "SELECT generation_id FROM recommendations_db.generation_periods ORDER BY id"
    )
    assert periods == [(1,), (2,), (1,)]
    # and forward again: the withdrawn lists are kept as well
    assert roll_back(scored_shop)["generation"] == 2
    assert statuses(scored_shop) == [(1, "former"), (2, "live")]


def test_without_own_lists_those_of_the_withdrawn_model_are_not_served(
    scored_shop: Shop, client: httpx.Client, redis_client: redis.Redis
) -> None:
    promote_and_score()
    promote_and_score("popularity-v2")  # knn-v1's lists are no longer among the two that are kept
    done = roll_back(scored_shop, "--to", "knn-v1")
    assert (done["lists"], done["generation"]) == ("withdrawn", None)
    assert redis_client.get("recommendations:generation") is None
    # the list and the model are looked at in turns: for a moment it is the withdrawn model's, made live
    until(lambda: ask(client)["provenance"]["model"] == "knn-v1")
    answer = ask(client)
    assert answer["provenance"]["source"] != "stored"
    assert len(answer["items"]) == 20
    assert execute(scored_shop, ROWS) == [], "no row of a withdrawn model is left to be read"
    assert scoring.score().model == "knn-v1"
    assert len(execute(scored_shop, ROWS)) == 2900


def test_nightly_scorings_keep_the_lists_of_the_previous_model(
    scored_shop: Shop, client: httpx.Client, redis_client: redis.Redis
) -> None:
    before, stored = execute(scored_shop, ROWS), ask(client, novelty="any")
    bought, dismissed = (item["product_id"] for item in stored["items"][:2])
    promote_and_score()
    for product, interaction in ((bought, "purchase"), (dismissed, "dismissed")):
        event = {"user_id": 1, "product_id": product, "interaction_type": interaction}
        client.post("/api/v1/interactions", json=event).raise_for_status()
    for night in (3, 4):
        assert scoring.score().generation == night
    assert statuses(scored_shop) == [(1, "former"), (2, "retired"), (3, "retired"), (4, "live")]
    assert redis_client.scard(keys.recent_interactions(1)) == 0, "the newest lists know of it"
    stored_lists = execute(
        scored_shop, "SELECT DISTINCT generation_id FROM recommendations_db.stored_lists ORDER BY 1"
    )
    assert stored_lists == [(1,), (4,)], "no more than two"

    done = roll_back(scored_shop)
    assert (done["active"], done["lists"], done["generation"]) == ("knn-v1", "switched", 1)
    assert [row[:2] + row[3:] for row in execute(scored_shop, ROWS)] == [row[:2] + row[3:] for row in before]
    assert redis_client.smembers(keys.recent_interactions(1)) == {
        str(bought).encode(), str(-bought).encode(), str(dismissed).encode(), f"d{dismissed}".encode()
    }  # fmt: skip
    until(lambda: ask(client)["provenance"]["model"] == "knn-v1")
    products = [item["product_id"] for item in ask(client, novelty="new", limit=40)["items"]]
    assert bought not in products
    assert dismissed not in products
    assert ask(client, 2)["provenance"]["source"] == "stored"


def test_expired_lists_are_not_restored(scored_shop: Shop) -> None:
    promote_and_score()
    execute(
        scored_shop,
        "UPDATE recommendations_db.recommendation_generations SET expires_at = now() - interval '1 second' "
        "WHERE id = 1",
    )
    assert roll_back(scored_shop)["lists"] == "withdrawn"


def test_a_rollback_during_a_scoring_wins(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_and_score()
    write = scoring.write_rows

    def rolled_back() -> None:
        with unit_of_work() as session:
            generations.restore(session, "knn-v1")
            registry.activate(session, "knn-v1", action="rollback", expected="popularity-v1")

    def slowly(*given: Any, **named: Any) -> tuple[int, int]:
        # this thread has a unit of work open
        with ThreadPoolExecutor(1) as other:
            other.submit(rolled_back).result()
        return write(*given, **named)

    monkeypatch.setattr(scoring, "write_rows", slowly)
    with pytest.raises(Conflict, match=r"popularity-v1 was scored, but knn-v1 serves by now"):
        scoring.score()
    assert statuses(scored_shop) == [(1, "live"), (2, "former"), (3, "failed")]
    assert execute(scored_shop, "SELECT 1 FROM recommendations_db.stored_lists WHERE generation_id = 3") == []


def test_a_rollback_that_dies_before_the_rows_is_completed_later(
    scored_shop: Shop, redis_client: redis.Redis
) -> None:
    before = execute(scored_shop, ROWS)
    promote_and_score()
    with unit_of_work() as session:  # all that a killed `recsys train rollback` got to
        generations.restore(session, "knn-v1")
        registry.activate(session, "knn-v1", action="rollback")
    assert redis_client.get("recommendations:generation") == b"2"
    assert scoring.score_if_needed() is None, "the lists are knn-v1's own and young"
    assert redis_client.get("recommendations:generation") == b"1"
    assert execute(scored_shop, ROWS) == before
    assert list_rows.settle() is False


def test_lists_during_rollbacks_are_consistent(scored_shop: Shop, client: httpx.Client) -> None:
    expected = {1: ask(client, 3, limit=40)["items"]}
    promote_and_score()
    until(lambda: ask(client, 3)["provenance"]["generation"] == 2)
    expected[2] = ask(client, 3, limit=40)["items"]
    answers: list[dict[str, Any]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            answers.append(ask(client, 3, limit=40))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for target, generation in (("knn-v1", 1), ("popularity-v1", 2), ("knn-v1", 1)):
            with unit_of_work() as session:
                now = generations.restore(session, target).now
                registry.activate(session, target, action="rollback")
            list_cache.follow(now)
            list_rows.settle()
            until(lambda wanted=generation: answers[-1]["provenance"]["generation"] == wanted)  # type: ignore[misc]
    finally:
        done.set()
        reader.join()
    for answer in answers:
        assert answer["provenance"]["source"] == "stored"
        assert answer["items"] == expected[answer["provenance"]["generation"]]


def test_packed_lists_are_those_of_redis(scored_shop: Shop, redis_client: redis.Redis) -> None:
    stored_lists = execute(scored_shop, "SELECT user_id, list FROM recommendations_db.stored_lists")
    assert len(stored_lists) == 29
    for user, packed in stored_lists:
        assert redis_client.get(keys.stored_recommendations(1, user)) == bytes(packed)
        assert len(unpack(bytes(packed)).entries) == 100
