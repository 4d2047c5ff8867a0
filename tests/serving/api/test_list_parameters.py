"""The parameters of a list over HTTP: filters, pages, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx

from serving.batch import scoring
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids
from tests.support.shop import Shop
from tests.support.waiting import until

COFFEE, LAMPS, CHAIRS = range(1, 61), range(61, 91), range(91, 121)


def test_a_filtered_list_is_full_while_enough_products_pass(client: httpx.Client) -> None:
    # user 1 buys coffee: the model's best hundred may hold none of these
    answer = ask(client, 1, category=4, limit=30)
    assert set(ids(answer)) == set(LAMPS)
    narrow = ask(client, 1, category=3, min_price=100.25, max_price=104.25, limit=30)
    assert sorted(ids(narrow)) == [100, 101, 102, 103, 104]
    removed = narrow["provenance"]["filters"]
    assert removed["qualified"] == 5
    assert sum(removed["removed"].values()) == 115
    assert removed["removed"]["category"] == 60


def test_filters_of_every_kind(client: httpx.Client, scored_shop: Shop) -> None:
    execute(scored_shop, "INSERT INTO products_db.brands (id, name, slug) VALUES (5, 'B', 'b')")
    execute(
        scored_shop,
        "UPDATE products_db.products SET brand_id = 5, tags = '{organic,fair}', "
        'dimensions = \'{"colour": "Red"}\', is_featured = true WHERE id IN (3, 70)',
    )
    execute(scored_shop, "UPDATE products_db.products SET tags = '{organic}' WHERE id = 4")
    execute(scored_shop, "UPDATE products_db.product_variants SET option1 = 'XL' WHERE product_id = 9")
    execute(
        scored_shop,
        "UPDATE products_db.product_variants SET inventory_quantity = 0, inventory_policy = 'continue' "
        "WHERE product_id > 2",
    )
    until(lambda: set(ids(ask(client, 1, brand=5))) == {3, 70})
    assert set(ids(ask(client, 1, tags=["organic"]))) == {3, 4, 70}
    assert set(ids(ask(client, 1, tags=["organic", "fair"]))) == {3, 70}
    assert set(ids(ask(client, 1, **{"attr.colour": "red"}))) == {3, 70}
    assert set(ids(ask(client, 1, **{"attr.is_featured": "true"}))) == {3, 70}
    assert set(ids(ask(client, 1, **{"attr.option1": "xl"}))) == {9}
    assert set(ids(ask(client, 1, **{"attr.sku": "sku17"}))) == {17}
    assert ids(ask(client, 1, **{"attr.colour": "mauve"})) == []
    refused = client.get("/api/v1/users/1/recommendations", params={"attr.color": "red"})
    assert refused.status_code == 422
    assert "Did you mean attr.colour?" in refused.json()["detail"]
    until(lambda: set(ids(ask(client, 1, in_stock=True))) == {1, 2})
    newest = ask(client, 1, created_since=(shopping.START).strftime("%Y-%m-%dT00:00:00Z"), limit=100)
    assert ids(newest) == []
    since = "2023-12-22"  # product i arrived i days before the first of January
    assert set(ids(ask(client, 1, created_since=since, limit=100))) == set(range(1, 11))
    most = set(ids(ask(client, 1, category=5, exclude=[91, 92], limit=100)))
    assert most == set(CHAIRS) - {91, 92}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"min_price": 5, "max_price": 1}, "min_price"),
    ({"min_price": "nan"}, "min_price"),
    ({"categroy": 4}, "categroy"),
    ({"attr.": "x"}, "attr"),
    ({"attr.a b": "x"}, "attr"),
    ({"attr.colour": ""}, "attr"),
    ({"cursor": "nonsense"}, "cursor"),
    ({"diversity": 1.5}, "diversity"),
    ({"shelf": "best"}, "shelf"),
    ({"created_since": "yesterday"}, "created_since"),
    ({"country": "Germany"}, "country"),
]


def test_a_problem_names_the_invalid_parameter(client: httpx.Client) -> None:
    reported = []
    for query, _ in WRONG:
        answer = client.get("/api/v1/users/1/recommendations", params=query)
        assert answer.status_code == 422, query
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        reported.append((query, problem.get("field") or problem["errors"][0]["field"]))
    assert reported == WRONG


def test_pages_neither_repeat_nor_skip_while_lists_change(client: httpx.Client, scored_shop: Shop) -> None:
    whole = ids(ask(client, 1, limit=100))
    first = ask(client, 1, limit=15)
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    scoring.score()
    until(lambda: ask(client, 1)["provenance"]["model"] == "popularity-v1")

    def shown() -> set[int]:
        # one category has fewer products than a list may have: a product that is missing is not shown
        return {
            product
            for category in (1, 2, 3)
            for product in ids(ask(client, 1, limit=100, category=[category]))
        }

    archived = next(product for product in whole[40:] if product in shown())
    execute(scored_shop, "UPDATE products_db.products SET status = 'archived' WHERE id = %s", archived)
    until(lambda: archived not in shown())
    seen = ids(first)
    cursor = first["next_cursor"]
    while cursor:
        answer = ask(client, 1, limit=15, cursor=cursor)
        assert answer["provenance"]["model"] == "knn-v1", "pages stay with the list of the first page"
        seen += ids(answer)
        cursor = answer["next_cursor"]
    assert seen == [product for product in whole if product != archived]


def test_a_cursor_of_another_user_is_refused(client: httpx.Client) -> None:
    cursor = ask(client, 1)["next_cursor"]
    assert client.get("/api/v1/users/2/recommendations", params={"cursor": cursor}).status_code == 422
    assert client.get("/api/v1/recommendations", params={"cursor": cursor}).status_code == 422


def test_pages_of_a_live_list(client: httpx.Client) -> None:
    first = ask(client, 1, category=[2], limit=20)
    second = ask(client, 1, category=[2], limit=20, cursor=first["next_cursor"])
    third = ask(client, 1, category=[2], limit=20, cursor=second["next_cursor"])
    assert len({*ids(first), *ids(second), *ids(third)}) == 60
    assert third["next_cursor"] is None
