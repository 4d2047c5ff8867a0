"""The promise of an erasure: a person who left traces everywhere is in no table, key or file afterwards."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.events.envelope import fields_of
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductViewed
from recsys.privacy import erasure, trained_models
from recsys.privacy.export import INDEX_FILE
from recsys.privacy.places import files
from recsys.write_buffer import buffer, drain, spool
from recsys.write_buffer.buffer import Post
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import PASSWORD, Person
from tests.recsys.privacy.person_everywhere import (
    AGENT,
    EMAIL,
    MARKS,
    NAME,
    NUMBER,
    VISIT,
    an_account,
    planted,
    trained,
)
from tests.recsys.privacy.stores import is_in_an_array, left, traces

OF_OTHERS = [
    "users_db.user_social-lists_of_others", "users_db.user_activities-of_others",
    "users_db.user_activities-actor", "analytics_db.outbox-of_others",
    "recommendations_db.guest_logins-of_others",
]  # fmt: skip


@pytest.fixture
def person(counter: Counter, tmp_path: Path) -> Person:
    """Someone who left traces in every place that a shop has."""
    return planted(counter, tmp_path)


def test_nothing_of_an_erased_person_is_in_any_store(
    counter: Counter, person: Person, tmp_path: Path
) -> None:
    before = set(traces(counter))
    assert is_in_an_array(counter)
    # the test looks where it should: each mark was somewhere, and in each kind of store
    assert {mark for mark, _ in before} == set(MARKS)
    assert {kind for _, (kind, _) in before} == {"table", "redis", "file"}
    revenue = counter.one("SELECT sum(total_price) FROM orders_db.orders")
    _the_export_has_everything(counter, person)

    receipt = counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)

    assert left(counter) == ""
    assert not is_in_an_array(counter)
    counts = {place["place"]: place["count"] for place in receipt["places"]}
    assert not any(mark in json.dumps(receipt).lower() for mark in MARKS)
    for place in ("users_db.users", "orders_db.orders", "recommendations_db.user_interactions",
                  "redis: posts_waiting", "redis: dead_letters", "redis: search_events", "search index",
                  "var/reports", "figures of reports", "var/mlflow", "var/datasets", "var/spool/posts",
                  "var/imports", "analytics_db.job_runs:log",
                  "recommendations_db.business_rules:actor"):  # fmt: skip
        assert counts[place] > 0, place
    # what the law makes a shop keep
    assert counter.one("SELECT sum(total_price) FROM orders_db.orders") == revenue
    assert counter.one("SELECT count(*) FROM orders_db.orders WHERE user_id IS NOT NULL") == 0
    assert counter.one("SELECT count(*) FROM payments_db.payments WHERE amount > 0") == 1
    # models that learned from the person have a date
    assert {model["name"] for model in receipt["models"]} == {"item_knn-v1", "popularity-v1"}
    file = counter.shop.var / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert counter.shop.run("privacy", "verify-receipt", file, "--user", NUMBER).returncode == 0
    file.write_text(json.dumps(receipt | {"requested_by": "somebody else"}))
    assert counter.shop.run("privacy", "verify-receipt", file).returncode == 2

    # erasing again is harmless, and events that come late are dropped
    again = counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)
    assert again["person"] == receipt["person"]
    counter.settle_events()
    assert left(counter) == ""
    _models_are_deleted_once_replaced(counter, tmp_path)


def test_events_that_arrive_after_the_erasure_leave_nothing(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = an_account(counter, product)
    counter.settle_events()
    moment = clock.now()
    receipt = counter.send(
        "POST", "/users/me/erase", who=person, json={"password": PASSWORD}, User_Agent=AGENT
    )
    assert receipt["requested_by"] == "the person"
    assert left(counter) == ""

    interaction = {"product_id": product, "interaction_type": "view", "created_at": moment.isoformat()}
    owners = ({"user_id": NUMBER}, {"username": NAME}, {"session_id": VISIT})
    late = [Post("interactions", interaction | owner, moment.timestamp()) for owner in owners]
    shown = [
        Answered("zq-request", "for_you", "live", [product], [0.5], moment, user_id=NUMBER),
        Answered("zq-request-2", "for_you", "live", [product], [0.5], moment, session_id=VISIT),
    ]
    # Redis, and files of this machine
    buffer.to_redis([buffer.pack(post) for post in late])
    spool.of_process("posts").append([buffer.pack(post) for post in late])
    counter.redis.xadd(keys.exposures_waiting(), {"data": impressions.pack(shown)})
    spool.of_process("exposures").append([impressions.pack(shown)])
    # a transaction that did not see the erasure published events
    with unit_of_work() as session:
        for owner in ({"user_id": NUMBER}, {"session_id": VISIT}):
            publish(
                session,
                ProductViewed(product_id=product, occurred=moment, **{"user_id": None, **owner}),
                occurred_at=moment,
            )
    # an entry that a relay had sent already
    counter.redis.xadd(keys.user_events(), _entry(moment))
    drain.run(threading.Event(), once=True)
    counter.settle_events()
    assert not counter.redis.exists(keys.dead_letters(keys.posts_waiting()))
    assert counter.one("SELECT count(*) FROM recommendations_db.user_interactions") == 0
    assert counter.one("SELECT count(*) FROM recommendations_db.exposures") == 0
    counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)
    assert left(counter) == ""


def test_a_second_call_completes_an_erasure_that_failed(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = an_account(counter, product)
    counter.settle_events()
    exported = counter.shop.var / "exported"
    exported.mkdir()
    (exported / "mails.txt").write_text(f"{EMAIL}\n")
    kept = counter.shop.var / "run" / f"erasing-{NUMBER}.json"

    def away(*_: Any) -> None:
        raise RedisError("away")

    with monkeypatch.context() as failing:
        failing.setattr(erasure, "_erase_keys", away)
        with pytest.raises(RedisError):
            erasure.erase(NUMBER, by=None, requested_by="test")
    assert person.id == NUMBER
    assert (kept.stat().st_mode & 0o777, left(counter) == "") == (0o600, False)

    # a file that cannot be cleaned is named
    clean = files.clean_text
    with monkeypatch.context() as failing:
        failing.setattr(files, "clean_text", lambda path, who: clean(Path("/nowhere"), who))
        receipt = erasure.erase(NUMBER, by=None, requested_by="test")
    assert any("mails.txt" in note for note in receipt.notes)
    assert kept.exists()
    receipt = erasure.erase(NUMBER, by=None, requested_by="test")
    assert receipt.notes == []
    assert not kept.exists()
    assert left(counter) == ""


def test_a_name_and_a_session_of_an_erased_person_may_be_used_again(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = an_account(counter, product)
    counter.send("POST", "/users/me/erase", who=person, json={"password": "wrong"}, status=401)
    counter.send("POST", "/users/me/erase", who=person, json={"password": PASSWORD})
    counter.desk.call(person, "GET", "/users/me", status=401)
    counter.desk.register(NAME, email=EMAIL)
    made = counter.desk.log_in(NAME).json()["user_id"]
    interaction = {"product_id": product, "interaction_type": "view"}
    now = clock.now()
    buffer.to_redis(
        [
            buffer.pack(Post("interactions", interaction | {"username": NAME}, now.timestamp())),
            buffer.pack(Post("interactions", interaction | {"session_id": VISIT}, now.timestamp())),
        ]
    )
    drain.run(threading.Event(), once=True)
    rows = counter.desk.rows("SELECT user_id, session_id FROM recommendations_db.user_interactions")
    assert set(rows) == {(made, None), (None, VISIT)}


def _the_export_has_everything(counter: Counter, person: Person) -> None:
    export: Any = {"url": "/api/v1/users/me/export", "headers": person.headers}
    # who found an open browser knows no password
    assert counter.desk.client.post(**export, json={"password": "wrong"}).status_code == 401
    answer = counter.desk.client.post(**export, json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert set(files.pop(INDEX_FILE)["files"]) == set(files)
    everything = json.dumps(files, ensure_ascii=False).lower()
    assert [mark for mark in MARKS if mark not in everything] == []
    assert files["tables/users_db.users.json"][0]["email"] == EMAIL
    assert "password_hash" not in files["tables/users_db.users.json"][0]
    assert files["redis/posts_waiting.json"]
    # nothing of another person
    assert "root@example.org" not in everything
    assert not any(files[f"tables/{name}.json"] for name in OF_OTHERS)


def _models_are_deleted_once_replaced(counter: Counter, folder: Path) -> None:
    with unit_of_work() as session:
        marked = trained_models.marked(session)
        assert not any(model.is_replaced for model in marked)
        assert trained_models.delete_replaced(session) == []
    assert trained_models.overdue(marked) == []
    late = [replace(each, retrain_by=clock.now() - timedelta(days=1)) for each in marked]
    assert trained_models.overdue(late) == late
    trained(folder)
    with unit_of_work() as session:
        deleted = trained_models.delete_replaced(session)
    assert set(deleted) == {"item_knn-v1", "popularity-v1"}
    assert not any((counter.shop.var / "models" / name).exists() for name in deleted)
    assert not any(bool((np.load(path) == NUMBER).any()) for path in counter.shop.var.rglob("*users.npy"))


def _entry(moment: Any) -> dict[Any, Any]:
    data = json.dumps({"user_id": NUMBER, "product_ids": [1]})
    return fields_of(uuid4(), "user.interactions_recorded", 1, f"user:{NUMBER}", moment, data)
