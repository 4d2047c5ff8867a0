"""A scoring of changed users: their lists are those of a scoring of all, all others stay as they are."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import text

from recsys import cli, clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.interactions.removal import remove
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.codec import StoredList, unpack
from recsys.errors import Conflict
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from recsys.settings import get_settings
from serving.batch import changed_lists, scoring
from tests.serving import shopping
from tests.serving.api.answers import ask, execute
from tests.support import warm
from tests.support.shop import Shop
from tests.support.waiting import until

Lists = dict[int, StoredList]
ROWS = (
    "SELECT user_id, product_id, score, reason, recommendation_type, context - 'generation' "
    "FROM recommendations_db.product_recommendations ORDER BY 1, 2, 5"
)
ORDER = (
    "SELECT product_id FROM recommendations_db.product_recommendations "
    "WHERE user_id = %s AND context ? 'any' ORDER BY score DESC"
)
ADD = (
    "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, created_at) "
    "VALUES (%s, %s, %s, %s) RETURNING id"
)


@pytest.fixture
def ready_shop(trained_shop: Shop) -> Shop:
    """A shop whose lists were made in this database: a copy of one has to make all."""
    scoring.score()
    return trained_shop


def stored(shop: Shop, generation: int) -> Lists:
    rows = execute(
        shop,
        "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s ORDER BY 1",
        generation,
    )
    return {user: unpack(bytes(packed)) for user, packed in rows}


def in_redis(client: redis.Redis, generation: int) -> Lists:
    found: Lists = {}
    for user in range(1, 100):
        packed = client.get(keys.stored_recommendations(generation, user))
        if packed is not None:
            assert isinstance(packed, bytes)
            found[user] = unpack(packed)
    return found


def entries(lists: Lists) -> dict[int, Any]:
    return {user: (list(each.entries), list(each.new)) for user, each in lists.items()}


def live_generation(shop: Shop) -> int:
    [[generation]] = execute(
        shop, "SELECT id FROM recommendations_db.recommendation_generations WHERE status = 'live'"
    )
    return int(generation)


def act(shop: Shop, chance: random.Random) -> set[int]:
    """Let some people do something; return those whose lists a scoring of all users would change."""
    changed = set()
    for user in chance.sample(range(1, shopping.USERS + 1), 6):
        product = chance.randrange(1, shopping.PRODUCTS + 1)
        match chance.randrange(7):
            case 0 | 1:
                kind = chance.choice(["view", "purchase", "dismissed", "like"])
                execute(shop, ADD, user, product, kind, clock.now())
            case 2:  # an event that comes in late, from before the training
                execute(shop, ADD, user, product, "purchase", shopping.START + timedelta(hours=1))
            case 3:
                with unit_of_work() as session:
                    [product] = session.scalars(
                        text(
                            "SELECT product_id FROM recommendations_db.user_interactions "
                            "WHERE user_id = :user LIMIT 1"
                        ),
                        {"user": user},
                    )
                    remove(session, user, product)
            case 4:
                with unit_of_work() as session:
                    consent.change(session, user, None, Consent(personalisation=chance.random() < 0.5))
            case 5:
                execute(
                    shop,
                    "UPDATE users_db.users SET is_active = NOT is_active WHERE id = %s RETURNING id",
                    user,
                )
            case 6:  # what a guest did becomes the user's at the log-in
                execute(shop, ADD, None, product, "view", clock.now())
                execute(
                    shop,
                    "UPDATE recommendations_db.user_interactions SET user_id = %s WHERE user_id IS NULL "
                    "RETURNING id",
                    user,
                )
        changed.add(user)
    return changed


@pytest.mark.parametrize("seed", range(4))
def test_the_lists_are_those_of_a_scoring_of_all(
    ready_shop: Shop, redis_client: redis.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        generation = live_generation(ready_shop)
        before = stored(ready_shop, generation)
        acted = act(ready_shop, chance)
        report = scoring.score_changed()
        assert report.whole == ""
        assert report.generation == generation
        after = stored(ready_shop, generation)
        assert report.users == len(after)
        assert report.ranked + report.kept == report.users
        assert {user for user in before if after.get(user) != before[user]} <= acted
        assert all(each.generation == generation for each in after.values())
        assert in_redis(redis_client, generation) == after
        rows = execute(ready_shop, ROWS)
        for user, each in after.items():
            assert [row[0] for row in execute(ready_shop, ORDER, user)] == [e.product for e in each.entries]
        assert {row[0] for row in rows} == set(after)
        generation = scoring.score().generation
        assert entries(stored(ready_shop, generation)) == entries(after)
        assert execute(ready_shop, ROWS) == rows


def test_nobody_is_ranked_where_nobody_changed(ready_shop: Shop) -> None:
    first = scoring.score_changed()
    again = scoring.score_changed()
    assert (again.ranked, again.kept, again.removed) == (0, first.users, 0)
    [[count]] = execute(ready_shop, "SELECT count(*) FROM recommendations_db.recommendation_generations")
    assert count == 1, "no generation is left of what was exchanged"


def test_lists_of_others_are_not_written(ready_shop: Shop) -> None:
    places = "SELECT user_id, ctid::text, xmin::text FROM {} WHERE user_id <> 2 ORDER BY 1, 2"
    tables = ("recommendations_db.stored_lists", "recommendations_db.product_recommendations")
    before = [execute(ready_shop, places.format(table)) for table in tables]
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    scoring.score_changed()
    assert [execute(ready_shop, places.format(table)) for table in tables] == before


def test_rows_keep_their_ids_and_feedback_its_link(ready_shop: Shop) -> None:
    ids = "SELECT product_id, id FROM recommendations_db.product_recommendations WHERE user_id = 2"
    before = dict(execute(ready_shop, ids))
    product, row_id = next(iter(before.items()))
    execute(
        ready_shop,
        "INSERT INTO recommendations_db.recommendation_feedback (user_id, product_id, recommendation_id) "
        "VALUES (2, %s, %s) RETURNING id",
        product,
        row_id,
    )
    execute(ready_shop, ADD, 2, 95, "view", clock.now())
    scoring.score_changed()
    after = dict(execute(ready_shop, ids))
    assert all(before[product] == after[product] for product in before.keys() & after.keys())
    link = "SELECT recommendation_id FROM recommendations_db.recommendation_feedback"
    assert execute(ready_shop, link) == [(row_id,)]


@pytest.fixture
def own_client(ready_shop: Shop) -> Iterator[httpx.Client]:
    from serving.server.app import create_app
    from tests.serving.running import running

    with running(create_app()) as client:
        yield client


def test_readers_see_each_list_whole_during_the_exchange(own_client: httpx.Client, ready_shop: Shop) -> None:
    answers: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    done = threading.Event()

    def read_answers() -> None:
        while not done.is_set():
            answers.append(ask(own_client, 2, limit=40))

    def read_rows() -> None:
        with ready_shop.connect(autocommit=True) as connection:
            while not done.is_set():
                rows.append(connection.execute(ORDER.encode(), [2]).fetchall())

    whole = [[e.product for e in stored(ready_shop, 1)[2].entries]]
    readers = [threading.Thread(target=each) for each in (read_answers, read_rows)]
    for reader in readers:
        reader.start()
    try:
        for product in (95, 96, 97):
            execute(ready_shop, ADD, 2, product, "purchase", clock.now())
            scoring.score_changed()
            whole.append([e.product for e in stored(ready_shop, 1)[2].entries])
        until(lambda: [i["product_id"] for i in answers[-1]["items"]] == whole[-1][:40])
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert len({tuple(each) for each in whole}) == 4
    assert all([row[0] for row in each] in whole for each in rows)
    firsts = [each[:40] for each in whole]
    for answer in answers:
        assert answer["provenance"]["source"] == "stored"
        assert [item["product_id"] for item in answer["items"]] in firsts


def test_a_killed_run_leaves_all_lists_and_the_next_one_finds_the_same_users(
    ready_shop: Shop, redis_client: redis.Redis
) -> None:
    before = stored(ready_shop, 1)
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    with ready_shop.connect() as holder:
        # the exchange waits for this row
        holder.execute("SELECT FROM recommendations_db.product_recommendations WHERE user_id = 2 FOR UPDATE")
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = warm.start("-m", "recsys", "serve", "score", "--changed", **nowhere)
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: execute(ready_shop, waits) != [], 60)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    until(lambda: execute(ready_shop, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == [], 30)
    assert stored(ready_shop, 1) == before == in_redis(redis_client, 1)
    assert scoring.score_changed().ranked == 1
    assert stored(ready_shop, 1)[2] != before[2]
    statuses = execute(ready_shop, "SELECT status FROM recommendations_db.recommendation_generations")
    assert sorted(row[0] for row in statuses) == ["failed", "live"]
    assert live_generation(ready_shop) == 1


def test_what_a_killed_scoring_of_all_left_in_redis_goes(ready_shop: Shop, redis_client: redis.Redis) -> None:
    with unit_of_work() as session:
        abandoned, _ = generations.start(session, "knn-v1", "1")
    key = keys.stored_recommendations(abandoned, 2)
    redis_client.set(key, b"a list")
    scoring.score_changed()
    assert not redis_client.exists(key)


def test_what_redis_did_not_take_is_made_again(
    ready_shop: Shop, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())

    def down(*_: object) -> None:
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(list_cache, "write_lists", down)
        assert not scoring.score_changed().redis
    assert in_redis(redis_client, 1)[2] != stored(ready_shop, 1)[2]
    report = scoring.score_changed()
    assert (report.ranked, report.redis) == (1, True)
    assert in_redis(redis_client, 1) == stored(ready_shop, 1)


def test_an_interaction_during_the_run_is_found_by_the_next_one(
    ready_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    users_to_score = changed_lists.users_to_score

    def meanwhile(*given: Any) -> Any:
        found = users_to_score(*given)
        execute(ready_shop, ADD, 3, 95, "purchase", clock.now())
        return found

    with ready_shop.connect() as slow:
        # its id is older than all that is read now, and it commits later
        slow.execute(ADD.encode(), [4, 95, "purchase", clock.now()])
        with monkeypatch.context() as patch:
            patch.setattr(changed_lists, "users_to_score", meanwhile)
            scoring.score_changed()
        slow.commit()
    scoring.score_changed()
    lists = stored(ready_shop, 1)
    assert entries(stored(ready_shop, scoring.score().generation)) == entries(lists)


def test_a_promotion_during_the_run_keeps_the_lists_out(
    ready_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(ready_shop, 1)
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    exchange = changed_lists.exchange

    def promoted(*given: Any, **options: Any) -> Any:
        with monkeypatch.context():
            session = given[0]
            session.execute(text("UPDATE recommendations_db.recommendation_models SET is_active = false"))
        return exchange(*given, **options)

    monkeypatch.setattr(changed_lists, "exchange", promoted)
    with pytest.raises(Conflict, match="no model serves by now"):
        scoring.score_changed()
    assert stored(ready_shop, 1) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE recommendations_db.recommendation_generations SET read_up_to = NULL", "version before"),
        (
            "UPDATE recommendations_db.recommendation_generations SET read_up_to = '1.2.3.4'",
            "in another database",
        ),
        (
            "UPDATE recommendations_db.recommendation_generations "
            "SET read_up_to = regexp_replace(read_up_to, '^[0-9]+', '999999999')",
            "in another database",
        ),
        (
            "UPDATE recommendations_db.recommendation_generations SET started_at = now() - interval '4 days'",
            "more than 84 hours ago",
        ),
        (
            "UPDATE recommendations_db.recommendation_generations SET expires_at = now() - interval '1 hour'",
            "have expired",
        ),
    ],
)
def test_all_lists_are_made_where_changes_are_unknown_or_too_old(
    ready_shop: Shop, change: str, reason: str
) -> None:
    execute(ready_shop, change + " RETURNING id")
    report = scoring.score_changed()
    assert reason in report.whole
    assert (report.generation, report.ranked, report.kept) == (2, 29, 0)
    assert scoring.score_changed().whole == ""


def test_another_model_and_no_lists_make_all(trained_shop: Shop) -> None:
    assert scoring.score_changed().whole == "no lists are stored yet"
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    assert scoring.score_changed().whole == "the stored lists are of knn-v1"


def test_preferences_are_in_no_stored_list(ready_shop: Shop) -> None:
    # so who changes them needs no new list: a scoring of all gives the same
    before = stored(ready_shop, 1)
    execute(
        ready_shop,
        "INSERT INTO recommendations_db.user_preferences (user_id, category_preferences) "
        "VALUES (2, '{\"lamps\": 1}') RETURNING id",
    )
    assert entries(stored(ready_shop, scoring.score().generation)) == entries(before)


def test_the_job_scores_changed_users_after_a_while(
    ready_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    assert scoring.score_if_needed() is None
    monkeypatch.setenv("RECSYS_SERVING__CHANGED_AFTER_HOURS", "0")
    get_settings.cache_clear()
    report = scoring.score_if_needed()
    assert report is not None
    assert (report.generation, report.ranked, report.whole) == (1, 1, "")
    monkeypatch.setenv("RECSYS_SERVING__CHANGED_AFTER_HOURS", "1")
    get_settings.cache_clear()
    execute(ready_shop, ADD, 3, 95, "purchase", clock.now())
    assert scoring.score_if_needed() is None, "an hour is not over"
    age = "UPDATE recommendations_db.recommendation_generations SET started_at = now() - interval '4 days'"
    execute(ready_shop, age + " RETURNING id")
    report = scoring.score_if_needed()
    assert report is not None
    assert report.generation > 1
    assert report.ranked == 29


def test_the_lists_expire_with_those_of_all(ready_shop: Shop, redis_client: redis.Redis) -> None:
    execute(
        ready_shop,
        "UPDATE recommendations_db.recommendation_generations "
        "SET expires_at = now() + interval '1 hour' RETURNING id",
    )
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    scoring.score_changed()
    assert 3000 < int(redis_client.ttl(keys.stored_recommendations(1, 2))) <= 3600
    [[longest]] = execute(
        ready_shop,
        "SELECT max(expires_at) FROM recommendations_db.product_recommendations WHERE user_id = 2",
    )
    with unit_of_work() as session:
        live = generations.live(session)
    assert live is not None
    assert longest == live.expires_at


def test_the_command_says_what_it_made(ready_shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    execute(ready_shop, ADD, 2, 95, "purchase", clock.now())
    execute(ready_shop, "UPDATE users_db.users SET is_active = false WHERE id = 3 RETURNING id")
    assert cli.run(["serve", "score", "--changed"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "27 users who did nothing since keep their lists; 1 get none any more." in printed
    assert cli.run(["serve", "score", "--changed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranked"] == 0
    assert cli.run(["serve", "score", "--changed", "--if-needed"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_it_waits_for_no_other_scoring(ready_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    with locks.only_one_scoring(), pytest.raises(Conflict, match="another scoring is running"):
        scoring.score_changed()
