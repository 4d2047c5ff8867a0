"""Search over HTTP: kept in step by events, cached, personal, clicked, reported, and down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.search import handlers, service
from recsys.search.backends.base import SearchDown
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.ranking import personalization
from tests.journeys.conftest import Counter
from tests.recsys.search.asking import found, indexed, run


def test_each_change_of_a_product_is_found_after_its_event(counter: Counter) -> None:
    home = counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "Home"}, status=201)
    brand = counter.send("POST", "/admin/brands", who=counter.admin, json={"name": "Bright"}, status=201)
    lamp, variant = counter.product(
        "Desk lamp", price="20.00", stock=2, category_id=home["id"], brand_id=brand["id"]
    )
    assert found(counter, "q=lamp") == []
    counter.settle_events()
    assert found(counter, "q=lamp") == ["Desk lamp"]
    assert found(counter, "q=lamp&max_price=10") == []
    assert found(counter, "q=lamp&in_stock=true") == ["Desk lamp"]
    for method, path, body in (
        ("PATCH", f"/admin/products/{lamp}", {"price": "9.00"}),
        ("PUT", f"/admin/categories/{home['id']}", {"name": "Dwelling"}),
        ("PUT", f"/admin/brands/{brand['id']}", {"name": "Gloomy"}),
    ):
        counter.send(method, path, who=counter.admin, json=body)
    counter.send(
        "POST",
        f"/admin/variants/{variant}/stock",
        who=counter.admin,
        json={"change": -2, "reason": "counted"},
    )
    counter.settle_events()
    assert found(counter, "q=lamp&max_price=10") == ["Desk lamp"]
    assert found(counter, "q=lamp&in_stock=true") == []
    assert found(counter, "q=dwelling") == found(counter, "q=gloomy") == ["Desk lamp"]
    assert found(counter, "q=home") == found(counter, "q=bright") == []


def test_ratings_count_once_approved_until_they_are_removed(counter: Counter) -> None:
    ann = counter.desk.person("ann")
    lamp = indexed(counter, "Desk lamp")["Desk lamp"]
    body = {"rating": 5, "title": "Bright", "review": "It is."}
    review = counter.send("PUT", f"/products/{lamp}/review", who=ann, json=body, status=201)["id"]
    counter.settle_events()
    assert found(counter, "q=lamp&min_rating=4") == []
    counter.send("POST", f"/admin/reviews/{review}/approve", who=counter.admin)
    counter.settle_events()
    assert found(counter, "q=lamp&min_rating=4") == ["Desk lamp"]
    counter.send("DELETE", f"/admin/reviews/{review}", who=counter.admin, status=204)
    counter.settle_events()
    assert found(counter, "q=lamp&min_rating=4") == []


def test_hidden_and_deleted_products_vanish_before_any_event_is_handled(counter: Counter) -> None:
    made = indexed(counter, "Red lamp", "Blue lamp", "Green lamp")
    assert len(found(counter, "q=lamp")) == 3
    assert len(counter.send("GET", "/search/suggest?prefix=lam")["suggestions"]) == 3
    counter.send(
        "PATCH", f"/admin/products/{made['Red lamp']}", who=counter.admin, json={"status": "archived"}
    )
    counter.send("DELETE", f"/admin/products/{made['Blue lamp']}", who=counter.admin, status=204)
    assert found(counter, "q=lamp") == ["Green lamp"]
    texts = [one["text"] for one in counter.send("GET", "/search/suggest?prefix=lam")["suggestions"]]
    assert texts == ["Green lamp"]
    counter.settle_events()
    answer = counter.send("GET", "/search/products?q=lamp")
    assert (answer["total"], len(answer["items"])) == (1, 1)


def test_answers_are_cached_under_the_documented_keys_until_something_changes(counter: Counter) -> None:
    indexed(counter, "Tea pot")
    assert found(counter, "q=tea") == ["Tea pot"]
    counter.send("GET", "/search/suggest?prefix=te")
    (key,) = [one for one in counter.redis.scan_iter("search:*") if len(one) == len("search:") + 64]
    assert counter.redis.ttl(key) > 0
    assert counter.redis.type("search:suggestions:te") == b"list"
    # what Redis holds is what is answered, as long as nothing changes
    with counter.shop.connect() as connection:
        connection.execute("TRUNCATE products_db.product_search")
    assert found(counter, "q=Tea!") == ["Tea pot"]
    counter.product("Cup", slug="cup")
    counter.settle_events()
    assert found(counter, "q=tea") == []


def test_nothing_with_all_words_is_answered_by_some_of_them(counter: Counter) -> None:
    indexed(counter, "Tea pot", "Coffee pot", "Rug")
    answer = counter.send("GET", "/search/products?q=tea+rug")
    assert answer["any_word"] is True
    assert {one["name"] for one in answer["items"]} == {"Tea pot", "Rug"}
    page = counter.send("GET", "/search/products?q=tea+rug&limit=1")
    rest = counter.send("GET", f"/search/products?q=tea+rug&limit=1&cursor={page['next_cursor']}")
    assert {page["items"][0]["name"], rest["items"][0]["name"]} == {"Tea pot", "Rug"}
    assert (rest["search_id"], rest["items"][0]["position"]) == (page["search_id"], 2)
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("typed", ["*", "🧦", "-- /", "\x00"])
def test_symbols_alone_find_nothing_and_say_why(counter: Counter, typed: str) -> None:
    indexed(counter, "Tea pot")
    for path in ("products?q=", "suggest?prefix=", "users?q="):
        answer = counter.send("GET", f"/search/{path}{quote(typed)}", who=counter.admin)
        assert answer.get("items", answer.get("suggestions")) == []
        assert answer["message"].startswith("There is nothing to search for")
    # no text at all is no search: filters alone list products
    for nothing in ("", "q=", "q=%20"):
        answer = counter.send("GET", f"/search/products?{nothing}")
        assert ([one["name"] for one in answer["items"]], answer["message"]) == (["Tea pot"], None)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("products?querry=tea", "Known are brand, category"),
        ("products?facets=brand", "Did you mean facet?"),
        ("suggest?prefixes=t", "Did you mean prefix?"),
        ("users?Q=ann", "Known are"),
    ],
)
def test_parameters_that_a_route_does_not_know_are_refused(counter: Counter, path: str, hint: str) -> None:
    answer = counter.send("GET", f"/search/{path}", who=counter.admin, status=422)
    assert hint in str(answer)


def test_facets_have_names_and_misspellings_a_meaning(counter: Counter) -> None:
    home = counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "Home"}, status=201)
    indexed(counter, "Reading lamp", "Desk lamp", price="12.00", category_id=home["id"], tags=["warm"])
    answer = counter.send(
        "GET", "/search/products?q=lmap&facet=category&facet=price&facet=tags&highlight=true"
    )
    assert answer["did_you_mean"] == "lamp"
    assert answer["facets"] == {
        "category": [{"value": str(home["id"]), "name": "Home", "count": 2}],
        "price": [{"value": "10", "name": "10 to 25", "count": 2}],
        "tags": [{"value": "warm", "name": "warm", "count": 2}],
    }
    assert "<mark>lamp</mark>" in answer["items"][0]["highlights"]["name"]


def test_cursors_belong_to_their_search(counter: Counter) -> None:
    indexed(counter, "Red lamp", "Blue lamp")
    cursor = counter.send("GET", "/search/products?q=lamp&limit=1")["next_cursor"]
    for other in ("q=tea", "q=lamp&sort=price", "q=lamp&in_stock=true", "q=lamp&fuzzy=false"):
        answer = counter.send("GET", f"/search/products?{other}&cursor={cursor}", status=422)
        assert "another search" in answer["detail"]
    counter.send("GET", "/search/products?q=lamp&cursor=bm8", status=422)


def test_only_administrators_see_what_is_not_for_sale_and_search_users(counter: Counter) -> None:
    ann = counter.desk.person("ann")
    indexed(counter, "Secret lamp", status="draft")
    counter.send("GET", "/search/products?q=lamp&status=draft", who=ann, status=403)
    assert found(counter, "q=lamp&status=any", who=counter.admin) == ["Secret lamp"]
    with unit_of_work() as session:
        keys = {
            scope: api_keys.create(session, scope, [scope], by="tests").key
            for scope in ("recommend", "admin")
        }
    for scope, status in (("recommend", 403), ("admin", 200)):
        key = {"X-Api-Key": keys[scope]}
        answer = counter.desk.client.get("/api/v1/search/products?q=lamp&status=draft", headers=key)
        assert answer.status_code == status, answer.text
    assert found(counter, "q=lamp") == []
    counter.send("GET", "/search/users?q=ann", status=401)
    counter.send("GET", "/search/users?q=ann", who=ann, status=403)
    (one,) = counter.send("GET", "/search/users?q=ann", who=counter.admin)["items"]
    assert (one["id"], one["kilometres"]) == (ann.id, None)
    counter.send("PUT", "/users/me/preferences", who=ann, json={"location": {"lat": 48.1, "lon": 11.6}})
    counter.settle_events()
    near = counter.send("GET", "/search/users?lat=48&lon=11.5&within_km=20&sort=distance", who=counter.admin)
    assert [one["username"] for one in near["items"]] == ["ann"]
    assert near["items"][0]["kilometres"] == pytest.approx(13.4, abs=0.2)
    counter.send("GET", "/search/users?sort=distance", who=counter.admin, status=422)
    everybody = counter.send("GET", "/search/users?limit=1", who=counter.admin)
    rest = counter.send("GET", f"/search/users?limit=1&cursor={everybody['next_cursor']}", who=counter.admin)
    assert {everybody["items"][0]["username"], rest["items"][0]["username"]} == {"ann", "root"}


def test_a_click_is_published_counted_once_and_becomes_an_interaction(counter: Counter) -> None:
    ann = counter.desk.person("ann")
    lamp = indexed(counter, "Desk lamp")["Desk lamp"]
    answer = counter.send("GET", "/search/products?q=Lamp", who=ann)
    counter.send("GET", "/search/products?q=unfindable", guest="visit-1")
    body = {"search_id": answer["search_id"], "query": "Lamp", "product_id": lamp, "position": 1}
    for _ in range(2):
        counter.send("POST", "/search/clicks", who=ann, json=body, status=204)
    counter.send("POST", "/search/clicks", guest="visit-1", json=body | {"position": 14}, status=204)
    counter.send("POST", "/search/clicks", json=body | {"product_id": 999_999}, status=404)
    counter.settle_events()
    assert counter.stream("search_events") == [
        "search.performed",
        "search.performed",
        "search.result_clicked",
        "search.result_clicked",
    ]
    event = json.loads(counter.redis.xrange("search_events")[0][1][b"data"])  # type: ignore[index]
    assert (event["query"], event["product_ids"], event["user_id"]) == ("lamp", [lamp], ann.id)
    rows = counter.desk.rows(
        "SELECT interaction_type, context->>'source' FROM recommendations_db.user_interactions "
        "WHERE user_id = %s",
        ann.id,
    )
    assert rows == [("view", "search")]
    code, written = run("report", "--json")
    assert code == 0
    report = json.loads(written)
    assert (report["searches"], report["empty"], report["clicks"]) == (2, 1, 2)
    assert report["without_results"] == [{"query": "unfindable", "searches": 1, "empty": 1}]
    assert report["clicks_by_position"] == {"1": 1, "0": 1}
    assert "unfindable" in run("report")[1]


class Liking:
    """Likes some products of each user."""

    def __init__(self, liked: Mapping[int, Sequence[int]]) -> None:
        self.liked = liked

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        mine = self.liked.get(user_id)
        return None if mine is None else {one: float(one in mine) for one in product_ids}


@pytest.fixture
def nobody_asked() -> Iterator[None]:
    yield
    personalization.use(None)


@pytest.mark.usefixtures("nobody_asked")
def test_the_same_query_has_another_order_for_another_user(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, eve = (counter.desk.person(name) for name in ("ann", "bob", "eve"))
    names = [f"{colour} lamp" for colour in ("Red", "Blue", "Green", "White", "Black", "Grey", "Pink")]
    made = indexed(counter, *names)
    usual = found(counter, "q=lamp")
    personalization.use(Liking({ann.id: [made[usual[-1]]], bob.id: [made[usual[3]]]}))
    assert found(counter, "q=lamp", who=ann) == [usual[-1], *usual[:-1]]
    assert found(counter, "q=lamp", who=bob) == [usual[3], *usual[:3], *usual[4:]]
    assert found(counter, "q=lamp", who=eve) == found(counter, "q=lamp") == usual
    assert found(counter, "q=lamp&personalised=false", who=ann) == usual
    assert counter.send("GET", "/search/products?q=lamp", who=ann)["personalised"] is True
    # beyond the window, the order is everybody's; pages neither repeat nor skip
    monkeypatch.setattr("recsys.search.ranking.personal_order.get_settings", lambda: _Small())
    wanted = [*reversed(usual[:3]), *usual[3:]]
    personalization.use(Liking({ann.id: [made[usual[2]]]}))
    for limit in (1, 2, 3, 5):
        seen, cursor = [], ""
        while True:
            page = counter.send("GET", f"/search/products?q=lamp&limit={limit}{cursor}", who=ann)
            seen += [one["name"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen[0] == usual[2]
        assert sorted(seen[:3]) == sorted(wanted[:3])
        assert seen[3:] == usual[3:]


class _Small:
    """Settings with a window of three."""

    class search:
        window = 3
        personal_weight = 0.5


@pytest.mark.usefixtures("nobody_asked")
def test_a_recommender_that_fails_costs_the_taste_only(counter: Counter) -> None:
    class Broken:
        def scores(
            self, session: Session, user_id: int, product_ids: Sequence[int]
        ) -> Mapping[int, float] | None:
            raise ValueError("no model")

    ann = counter.desk.person("ann")
    indexed(counter, "Desk lamp")
    personalization.use(Broken())
    answer = counter.send("GET", "/search/products?q=lamp", who=ann)
    assert (len(answer["items"]), answer["personalised"]) == (1, False)


class _Down(PostgresIndex):
    name = "down"

    def search_products(self, session: Session, query: Any) -> Any:
        raise SearchDown("no answer")

    def suggest(self, session: Session, words: Any, limit: int) -> Any:
        raise SearchDown("no answer")


def test_without_search_categories_and_popular_products_answer_and_say_so(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "Home"}, status=201)
    made = indexed(counter, "Red lamp", "Blue lamp")
    counter.product("Rug", slug="rug", category_id=home["id"])
    counter.send("POST", f"/products/{made['Red lamp']}/views", guest="g", status=201)
    counter.settle_events()
    monkeypatch.setattr(service, "chosen", lambda: _Down(counter.shop.settings.search))
    popular = counter.send("GET", "/search/products?q=lamp")
    assert popular["degraded"] == "Search is down; these are popular products."
    assert [one["name"] for one in popular["items"]] == ["Red lamp", "Rug", "Blue lamp"]
    listed = counter.send("GET", f"/search/products?q=lamp&category={home['id']}")
    assert "Search is down" in listed["degraded"]
    assert [one["name"] for one in listed["items"]] == ["Rug"]
    assert "down" in counter.send("GET", "/search/suggest?prefix=la")["degraded"]
    assert len(counter.send("GET", f"/products?category={home['id']}")["items"]) == 1


def test_a_search_that_takes_too_long_is_ended(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed(counter, "Red lamp")
    slow = counter.shop.settings.search.model_copy(update={"timeout_seconds": 0.05})
    monkeypatch.setattr(service, "chosen", lambda: PostgresIndex(slow))
    monkeypatch.setattr(
        "recsys.search.backends.postgres.index.product_queries.find",
        lambda session, query, settings: session.connection().exec_driver_sql("SELECT pg_sleep(5)"),
    )
    answer = counter.send("GET", "/search/products?q=lamp")
    assert "down" in answer["degraded"]
    assert [one["name"] for one in answer["items"]] == ["Red lamp"]


def test_imports_are_found_after_a_reindex_and_differences_are_repaired(counter: Counter) -> None:
    indexed(counter, "Red lamp")
    with counter.shop.connect() as connection:
        connection.execute(
            "INSERT INTO products_db.products (name, slug, price) "
            "VALUES ('Blue lamp', 'blue', 3), ('Tea', 't', 1)"
        )
        connection.execute("UPDATE products_db.products SET price = 7 WHERE name = 'Red lamp'")
    code, written = run("verify", "--json")
    answer = json.loads(written)
    assert (code, answer["differences"], answer["products"]["missing"]) == (1, 3, 2)
    assert found(counter, "q=lamp") == ["Red lamp"]
    assert json.loads(run("reindex", "--json")[1])["products"] == 3
    assert sorted(found(counter, "q=lamp")) == ["Blue lamp", "Red lamp"]
    assert run("verify")[0] == 0
    with counter.shop.connect() as connection:
        connection.execute("DELETE FROM products_db.product_search")
    assert run("verify")[0] == 1
    assert run("verify", "--repair")[0] == 0
    assert run("verify")[0] == 0


def test_an_old_reading_never_replaces_a_newer_one(counter: Counter) -> None:
    made = indexed(counter, "Red lamp")["Red lamp"]
    with counter.shop.connect() as connection:
        connection.execute(
            "UPDATE products_db.product_search SET price = 5, as_of = now() + interval '1 hour'"
        )
    assert run("reindex")[0] == 0
    assert counter.one("SELECT price FROM products_db.product_search WHERE product_id = %s", made) == 5


def test_handlers_subscribe_to_every_change_that_can_be_searched() -> None:
    from recsys.subscriptions import SEARCH_SUBSCRIPTIONS

    subscribed = {handler.__name__ for several in SEARCH_SUBSCRIPTIONS.values() for handler in several}
    refreshing = {name for name in handlers.__all__ if name.startswith(("refresh", "drop", "follow"))}
    assert subscribed == refreshing
