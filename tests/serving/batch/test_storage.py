"""Generations: consistent for every reader and after every crash; rows keep their ids."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy.orm import Session

from recsys import cli
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations as lists_in_postgresql
from recsys.domains.recommendations.stored_lists import locks
from recsys.domains.recommendations.stored_lists.codec import unpack
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.errors import Conflict, NotFound, Unavailable
from serving.batch import scoring as batch_scoring
from tests.serving import shopping
from tests.serving.api.answers import ask, execute
from tests.support import warm
from tests.support.shop import Shop
from tests.support.waiting import until

ROWS = (
    "SELECT user_id, product_id, id, recommendation_type, score, context, reason, expires_at "
    "FROM recommendations_db.product_recommendations WHERE expires_at > now()"
)


def generations(shop: Shop) -> list[tuple[int, str]]:
    rows = execute(shop, "SELECT id, status FROM recommendations_db.recommendation_generations ORDER BY id")
    return [(row[0], row[1]) for row in rows]


def test_redis_and_postgresql_hold_the_same_lists(scored_shop: Shop, redis_client: redis.Redis) -> None:
    assert redis_client.get("recommendations:generation") == b"1"
    for user in (1, 11, 30):
        packed = redis_client.get(keys.stored_recommendations(1, user))
        assert isinstance(packed, bytes)
        stored = unpack(packed)
        with unit_of_work() as session:
            assert read_list(session, user) == stored
        assert len(stored.entries) == 100
        assert len(stored.new) == 40
        assert all(entry.novel for entry in stored.new)
    assert redis_client.get(keys.stored_recommendations(1, 29)) is None, "user 29 is inactive"
    assert 0 < redis_client.ttl(keys.stored_recommendations(1, 1)) <= 7 * 24 * 3600


def test_rows_are_complete_and_score_is_calibrated(scored_shop: Shop) -> None:
    rows = execute(scored_shop, ROWS)
    assert len(rows) == 29 * 100
    for _user, _product, _id, kind, score, context, reason, expires in rows:
        assert kind in ("collaborative", "popular")
        assert 0 <= score <= 1
        assert 0 < len(reason) <= 100
        assert set(context) - {"bought"} - {"any", "new"} == {"generation", "novel", "evidence", "reason"}
        places = [context[question] for question in ("any", "new") if question in context]
        assert places
        assert float(score) == places[0]["score"]
        assert expires is not None


def test_rows_keep_their_ids_and_feedback_its_link(scored_shop: Shop) -> None:
    before = {row[:2]: row[2] for row in execute(scored_shop, ROWS)}
    (user, product), row_id = next(iter(sorted(before.items())))
    execute(
        scored_shop,
        "INSERT INTO recommendations_db.recommendation_feedback (user_id, product_id, recommendation_id) "
        "VALUES (%s, %s, %s)",
        user, product, row_id,
    )  # fmt: skip
    # a model of another kind: products that it recommends, too, keep their rows
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    report = batch_scoring.score()
    assert (report.generation, report.model) == (2, "popularity-v1")
    after = {row[:2]: row for row in execute(scored_shop, ROWS)}
    assert len(after) == 29 * 100
    assert {row[5]["generation"] for row in after.values()} == {2}
    both = before.keys() & after.keys()
    assert len(both) > 1000
    assert all(after[key][2] == before[key] for key in both)
    links = execute(scored_shop, "SELECT recommendation_id FROM recommendations_db.recommendation_feedback")
    assert links == [(row_id,)]
    assert generations(scored_shop) == [(1, "former"), (2, "live")]


def test_two_generations_are_stored(scored_shop: Shop, redis_client: redis.Redis) -> None:
    batch_scoring.score()
    assert redis_client.get("recommendations:generation") == b"2"
    for generation in (1, 2):
        assert (
            redis_client.ttl(keys.stored_recommendations(generation, 1)) > list_cache.OLD_GENERATION_SECONDS
        )
    batch_scoring.score()
    assert generations(scored_shop) == [(1, "retired"), (2, "former"), (3, "live")]
    # readers that began before the switch may still read it
    assert 0 < redis_client.ttl(keys.stored_recommendations(1, 1)) <= list_cache.OLD_GENERATION_SECONDS
    assert redis_client.ttl(keys.stored_recommendations(2, 1)) > list_cache.OLD_GENERATION_SECONDS
    generation_ids = execute(
        scored_shop, "SELECT generation_id FROM recommendations_db.stored_lists GROUP BY 1 ORDER BY 1"
    )
    assert generation_ids == [(2,), (3,)]
    of = execute(
        scored_shop,
        "SELECT DISTINCT (context->>'generation')::int FROM recommendations_db.product_recommendations",
    )
    assert {row[0] for row in of} <= {2, 3}


def test_readers_never_see_a_mix(client: httpx.Client, scored_shop: Shop) -> None:
    answers: list[dict[str, Any]] = []
    rows: list[set[int]] = []
    done = threading.Event()

    def read_answers() -> None:
        while not done.is_set():
            answers.append(ask(client, 1, limit=40))

    def read_rows() -> None:
        with scored_shop.connect(autocommit=True) as connection:
            while not done.is_set():
                stored_rows = connection.execute(
                    "SELECT DISTINCT (context->>'generation')::int "
                    "FROM recommendations_db.product_recommendations WHERE expires_at > now()"
                ).fetchall()
                rows.append({row[0] for row in stored_rows})

    readers = [threading.Thread(target=entry) for entry in (read_answers, read_rows)]
    for reader in readers:
        reader.start()
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    try:
        for _ in range(3):
            batch_scoring.score()
        until(lambda: answers[-1]["provenance"]["generation"] == 4)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert {len(entry) for entry in rows} == {1}
    by_generation: dict[int, list[Any]] = {}
    for answer in answers:
        provenance = answer["provenance"]
        assert provenance["source"] == "stored"
        expected = by_generation.setdefault(provenance["generation"], answer["items"])
        assert answer["items"] == expected
        assert provenance["model"] == ("knn-v1" if provenance["generation"] == 1 else "popularity-v1")
    assert {1, 4} <= by_generation.keys()


def test_only_one_scoring_runs_at_a_time(trained_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    with locks.only_one_scoring(), pytest.raises(Conflict, match="another scoring is running"):
        batch_scoring.score()
    assert generations(trained_shop) == []
    for _ in range(20):  # one right after the other
        with locks.only_one_scoring():
            pass
    batch_scoring.score()


def test_a_scoring_waits_for_running_refreshes(trained_shop: Shop) -> None:
    with unit_of_work() as refreshing:
        assert locks.share_scoring(refreshing)
        scoring = threading.Thread(target=batch_scoring.score)
        scoring.start()
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: execute(trained_shop, waits) != [])
    scoring.join(30)
    assert [entry[1] for entry in generations(trained_shop)] == ["live"]


def test_a_killed_scoring_leaves_the_previous_generation(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    expected = ask(client)["items"]
    with scored_shop.connect() as holder:
        # the upsert waits for this row, so the process is killed after its lists went to Redis
        holder.execute("SELECT FROM recommendations_db.product_recommendations WHERE user_id = 1 FOR UPDATE")
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = warm.start("-m", "recsys", "serve", "score", **nowhere)
        until(lambda: redis_client.get(keys.stored_recommendations(2, 30)) is not None, 60)
        until(
            lambda: (
                execute(scored_shop, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'") != []
            ),
            60,
        )
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert ask(client)["items"] == expected
    assert redis_client.get("recommendations:generation") == b"1"
    assert generations(scored_shop) == [(1, "live"), (2, "writing")]
    until(lambda: execute(scored_shop, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == [], 30)
    assert batch_scoring.score().generation == 3
    assert generations(scored_shop) == [(1, "former"), (2, "failed"), (3, "live")]
    assert redis_client.get(keys.stored_recommendations(2, 30)) is None
    assert redis_client.get("recommendations:generation") == b"3"


def test_a_crash_between_commit_and_pointer_is_repaired(
    scored_shop: Shop, client: httpx.Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def crash(_generation: int) -> None:
            raise KeyboardInterrupt

        patch.setattr(list_cache, "show_generation", crash)
        with pytest.raises(KeyboardInterrupt):
            batch_scoring.score()
    assert generations(scored_shop) == [(1, "former"), (2, "live")]
    assert redis_client.get("recommendations:generation") == b"1"
    assert ask(client)["provenance"]["generation"] == 1, "the old one is whole"
    assert list_cache.reconcile() == 2
    until(lambda: ask(client)["provenance"]["generation"] == 2)


def test_without_redis_the_rows_are_written(
    trained_shop: Shop, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    def down(*_: object) -> None:
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        for name in ("write_lists", "show_generation"):
            patch.setattr(list_cache, name, down)
        report = batch_scoring.score()
    assert not report.redis
    assert report.rows == 2900
    assert list_cache.reconcile() == 1
    assert redis_client.get("recommendations:generation") == b"1"


def test_without_a_model_or_with_a_damaged_one_nothing_changes(open_shop: Shop) -> None:
    with pytest.raises(NotFound, match="no model is active"):
        batch_scoring.score()
    registered = shopping.promote(shopping.fit(), "knn-v1")
    next(registered.folder.glob("fitted_*.npy")).write_bytes(b"")
    with pytest.raises(Unavailable, match="knn-v1"):
        batch_scoring.score()
    assert generations(open_shop) == []


def test_if_needed_without_an_active_model_does_nothing(
    open_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotFound, match="no model is active"):
        batch_scoring.score()
    assert batch_scoring.score_if_needed() is None
    assert cli.run(["serve", "score", "--if-needed"]) == 0
    assert "No model is active, so there is nothing to score" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["serve", "score", "--if-needed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"scored": False}
    assert generations(open_shop) == []


def test_if_needed_scores_once_and_again_after_a_promotion(trained_shop: Shop) -> None:
    assert batch_scoring.score_if_needed() is not None
    assert batch_scoring.score_if_needed() is None
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    report = batch_scoring.score_if_needed()
    assert report is not None
    assert report.model == "popularity-v1"


def test_new_users_are_folded_in_and_short_lists_are_completed(scored_shop: Shop) -> None:
    user = execute(
        scored_shop,
        "INSERT INTO users_db.users (email, username, full_name, password_hash) "
        "VALUES ('n@example.org', 'n', 'N', 'x') RETURNING id",
    )[0][0]
    execute(
        scored_shop,
        "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type) "
        "VALUES (%s, 95, 'purchase')",
        user,
    )
    report = batch_scoring.score()
    assert report.users == 30
    with unit_of_work() as session:
        stored = read_list(session, user)
    assert stored is not None
    assert len(stored.entries) == 100
    assert {entry.kind.word for entry in stored.entries} == {"collaborative", "popular"}
    assert [entry.product for entry in stored.entries if not entry.novel] == [95]
    scores = [entry.score for entry in stored.entries]
    assert scores == sorted(scores, reverse=True)


def test_a_scoring_that_ends_during_a_reconcile_is_not_undone(
    scored_shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = lists_in_postgresql.live
    slow = [True]

    def look_slowly(session: Session) -> lists_in_postgresql.Generation | None:
        stored_rows = look(session)
        if slow and slow.pop():  # PostgreSQL has returned "1"; now another process makes 2 live
            run = threading.Thread(target=batch_scoring.score)
            run.start()
            run.join()
        return stored_rows

    monkeypatch.setattr(lists_in_postgresql, "live", look_slowly)
    list_cache.reconcile()
    assert generations(scored_shop) == [(1, "former"), (2, "live")]
    assert redis_client.get("recommendations:generation") == b"2"
    assert redis_client.ttl(keys.stored_recommendations(2, 1)) > list_cache.OLD_GENERATION_SECONDS, (
        "the live lists stay"
    )


def test_a_generation_of_another_database_is_removed(scored_shop: Shop, redis_client: redis.Redis) -> None:
    redis_client.set("recommendations:generation", 77)
    assert list_cache.reconcile() == 1
    assert redis_client.get("recommendations:generation") == b"1"
