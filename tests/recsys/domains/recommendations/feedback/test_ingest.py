"""Feedback: each piece gets its verdict, is stored once, and is its user's alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest

from recsys.cache import keys
from recsys.settings import get_settings
from tests.recsys.domains.users.conftest import Desk, Person

PATH = "/recommendations/feedback"
CLICK = {"product_id": 1, "feedback_type": "clicked"}


@pytest.fixture
def people(desk: Desk) -> tuple[Person, Person]:
    """Two users, five products, and recommendation `10 * user + product` of each product to each user."""
    ada, bob = desk.person("ada"), desk.person("bob")
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )
        connection.execute(
            "INSERT INTO recommendations_db.product_recommendations (id, user_id, product_id, score, "
            "recommendation_type) SELECT 10 * u + i, u, i, 0.5, 'popular' FROM generate_series(1, 5) i, "
            "unnest(%s) u",
            ([ada.id, bob.id],),
        )
    return ada, bob


def send(desk: Desk, who: Person | None, body: object, status: int = 200) -> Any:
    return desk.call(who, "POST", PATH, json=body, status=status).json()


def stored(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows(
        "SELECT user_id, product_id, recommendation_id, recommended, clicked, purchased, rating, "
        "feedback_type, feedback_text FROM recommendations_db.recommendation_feedback "
        "ORDER BY feedback_type, id"
    )


def test_each_kind_fills_the_documented_columns(desk: Desk, people: tuple[Person, Person]) -> None:
    ada = people[0]
    mine = 10 * ada.id + 1
    body = [
        {"recommendation_id": mine, "feedback_type": "carted"},
        {"recommendation_id": mine, "product_id": 1, "feedback_type": "clicked", "text": "nice"},
        {"product_id": 2, "feedback_type": "dismissed", "text": "I have one"},
        {"recommendation_id": mine, "feedback_type": "purchased"},
        {"product_id": 3, "feedback_type": "rated", "rating": 4},
        {"product_id": 4, "feedback_type": "shown"},
    ]
    answer = send(desk, ada, body)
    assert (answer["stored"], answer["duplicates"], answer["refused"]) == (6, 0, 0)
    assert stored(desk) == [
        (ada.id, 1, mine, True, False, False, None, "carted", None),
        (ada.id, 1, mine, True, True, False, None, "clicked", "nice"),
        (ada.id, 2, None, False, False, False, None, "dismissed", "I have one"),
        (ada.id, 1, mine, True, False, True, None, "purchased", None),
        (ada.id, 3, None, False, False, False, 4, "rated", None),
        (ada.id, 4, None, True, False, False, None, "shown", None),
    ]
    # a dismissal is an interaction too, and the next answer knows of it; nothing else is counted twice
    assert desk.rows(
        "SELECT user_id, product_id, interaction_type FROM recommendations_db.user_interactions"
    ) == [(ada.id, 2, "dismissed")]
    assert desk.redis.smembers(keys.recent_interactions(ada.id)) == {b"2", b"d2"}


def test_not_interested_is_taken_back(desk: Desk, people: tuple[Person, Person]) -> None:
    ada, bob = people
    for kind, marked in (("dismissed", True), ("restored", False), ("dismissed", True), ("restored", False)):
        one = {"product_id": 2, "feedback_type": kind, "event_id": f"{kind}-{marked}"}
        # the second round names new events; each of them counts once
        one["event_id"] += str(len(stored(desk)))
        assert send(desk, ada, [one, one])["stored"] == 1
        assert (b"d2" in desk.redis.smembers(keys.recent_interactions(ada.id))) is marked
    assert (
        desk.rows(
            "SELECT interaction_type, interaction_value FROM recommendations_db.user_interactions ORDER BY id"
        )
        == [("dismissed", None), ("dismissed", Decimal("-1.00"))] * 2
    )
    # nobody takes back what another dismissed
    send(desk, ada, {"product_id": 3, "feedback_type": "dismissed"})
    send(desk, bob, {"product_id": 3, "feedback_type": "restored"})
    assert b"d3" in desk.redis.smembers(keys.recent_interactions(ada.id))


def test_a_repeat_is_stored_once_and_each_user_has_ids_of_their_own(
    desk: Desk, people: tuple[Person, Person]
) -> None:
    ada, bob = people
    one = {"product_id": 1, "feedback_type": "dismissed", "event_id": str(uuid4())}
    answers = [send(desk, ada, one), send(desk, ada, [one, one | {"event_id": "x"}]), send(desk, bob, one)]
    assert [(one["stored"], one["duplicates"]) for one in answers] == [(1, 0), (1, 1), (1, 0)]
    assert [row[0] for row in stored(desk)] == [ada.id, ada.id, bob.id]
    assert desk.rows("SELECT count(*) FROM recommendations_db.user_interactions") == [(3,)]

    def again(_: int) -> int:
        headers = ada.headers
        body = [one | {"event_id": f"at-once-{place}"} for place in range(20)]
        sent = httpx.post(f"{desk.client.base_url}/api/v1{PATH}", headers=headers, json=body)
        return int(sent.json()["stored"])

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(again, range(6))) == 20
    assert desk.rows("SELECT count(*) FROM recommendations_db.user_interactions") == [(23,)]


def test_nobody_speaks_for_another(desk: Desk, people: tuple[Person, Person]) -> None:
    ada, bob = people
    body = [
        CLICK | {"user_id": bob.id},
        {"recommendation_id": 10 * bob.id + 1, "feedback_type": "clicked"},
        {"recommendation_id": 999_999, "feedback_type": "clicked"},
        CLICK | {"user_id": ada.id},
    ]
    answer = send(desk, ada, body)
    assert [one["reason"] for one in answer["verdicts"]] == [
        "user_id: not the user who is logged in",
        "recommendation_id: this user has no such recommendation",
        "recommendation_id: this user has no such recommendation",
        None,
    ]
    send(desk, bob, CLICK | {"text": "bob's"})
    for who, others in ((ada, bob), (bob, ada)):
        page = desk.call(who, "GET", PATH).json()
        assert len(page["items"]) == 1
        assert (page["items"][0]["text"] == "bob's") is (others is ada)
    desk.call(None, "GET", PATH, status=401)
    desk.client.headers["Authorization"] = "Bearer nonsense"
    send(desk, None, CLICK | {"user_id": ada.id}, status=401)


def test_without_a_log_in_each_piece_names_its_user_but_not_in_production(
    desk: Desk, people: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = people[1]
    body = [CLICK | {"user_id": bob.id}, CLICK, CLICK | {"user_id": 999}]
    answer = send(desk, None, body)
    assert [one["status"] for one in answer["verdicts"]] == ["stored", "refused", "refused"]
    assert answer["verdicts"][1]["reason"].startswith("user_id: whose feedback it is; or log in")
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    get_settings.cache_clear()
    send(desk, None, body, status=401)
    assert send(desk, bob, CLICK)["stored"] == 1


WRONG: list[tuple[dict[str, object], str]] = [
    ({"product_id": None}, "a recommendation_id, a product_id or a sku"),
    ({"product_id": 99}, "product_id: no such product"),
    ({"product_id": "1"}, "product_id"),
    ({"feedback_type": "loved"}, "feedback_type: Input should be 'shown'"),
    ({"rating": 3}, "a rating with `rated`"),
    ({"feedback_type": "rated"}, "a rating with `rated`"),
    ({"feedback_type": "rated", "rating": 6}, "rating"),
    ({"feedback_type": "rated", "rating": 2.5}, "rating"),
    ({"text": "a\x00b"}, "text: text without NUL"),
    ({"text": "x" * 2001}, "text"),
    ({"event_id": ""}, "event_id"),
    ({"recommendation_id": 12}, "product_id: the recommendation is of another product"),
    ({"mood": 1}, "mood: no such field is known"),
]


def test_what_is_wrong_is_refused_with_its_reason(desk: Desk, people: tuple[Person, Person]) -> None:
    assert people[0].id == 1
    answer = send(desk, people[0], [CLICK | change for change, _ in WRONG], status=422)
    assert answer["title"] == "Nothing could be stored"
    for (change, reason), verdict in zip(WRONG, answer["verdicts"], strict=True):
        assert reason in (verdict["reason"] or ""), change
    assert stored(desk) == []


def test_a_batch_has_a_limit(desk: Desk, people: tuple[Person, Person]) -> None:
    assert send(desk, people[0], [CLICK] * 500)["stored"] == 500
    assert "send at most 500" in send(desk, people[0], [CLICK] * 501, status=413)["detail"]
    nothing: list[object] = [[], 3, "clicked"]
    for one in nothing:
        send(desk, people[0], one, status=422)


def test_ones_own_feedback_comes_in_pages(desk: Desk, people: tuple[Person, Person]) -> None:
    ada = people[0]
    for place in range(5):
        send(desk, ada, CLICK | {"text": str(place)})
    seen, cursor = [], ""
    while True:
        page = desk.call(ada, "GET", f"{PATH}?limit=2{cursor}").json()
        seen += [one["text"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["4", "3", "2", "1", "0"]
    desk.call(ada, "GET", f"{PATH}?cursor=nonsense", status=422)


def test_a_recommendation_that_goes_leaves_its_feedback(desk: Desk, people: tuple[Person, Person]) -> None:
    ada = people[0]
    send(desk, ada, {"recommendation_id": 10 * ada.id + 3, "feedback_type": "purchased"})
    with desk.shop.connect() as connection:
        connection.execute("DELETE FROM recommendations_db.product_recommendations")
    (item,) = desk.call(ada, "GET", PATH).json()["items"]
    assert (item["product_id"], item["recommendation_id"], item["recommended"]) == (3, None, True)
    assert item["purchased"] is True
