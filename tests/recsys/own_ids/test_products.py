"""Products read together by number and SKU, and own ids beside the numbers in answers."""

from __future__ import annotations

from typing import Any

from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import IdKind, OwnId
from tests.journeys.conftest import Counter


def test_a_batch_keeps_its_order_and_lists_what_is_unknown(counter: Counter) -> None:
    first, _ = counter.product("Lamp", sku="a/b")
    second, _ = counter.product("Rug", sku="123")
    hidden, _ = counter.product("Draft", sku="draft", status="draft")
    wanted = {"ids": [second, 99, second, hidden], "skus": ["none", "a/b", "A/B", "123", "draft"]}
    answer = counter.send("POST", "/products/batch", json=wanted)
    assert [(item["id"], item["sku"]) for item in answer["items"]] == [(second, "123"), (first, "a/b")]
    assert answer["unknown_ids"] == [99, hidden]
    assert answer["unknown_skus"] == ["none", "A/B", "draft"]
    counter.send("POST", "/products/batch", json={}, status=422)
    counter.send("POST", "/products/batch", json={"ids": list(range(1, 502))}, status=422)


def test_a_list_is_limited_to_skus(counter: Counter) -> None:
    lamp, variant = counter.product("Lamp", sku="a/b")
    rug, _ = counter.product("Rug", sku="123")
    counter.product("Mat", sku="ab")
    _rename_variant(counter, lamp, variant, "lamp-xl")

    def found(query: str) -> list[int]:
        return [item["id"] for item in counter.send("GET", f"/products?{query}")["items"]]

    assert found("sku=a/b") == [lamp]
    assert found("sku=a%2Fb&sku=123") == [rug, lamp]
    assert found("sku=lamp-xl") == [lamp]
    assert found("sku=A/B") == []
    assert found(f"sku=123&min_price=5&category={_category(counter)}") == []


def _category(counter: Counter) -> int:
    made = counter.send("POST", "/admin/categories", who=counter.admin, json={"name": "New"}, status=201)
    return int(made["id"])


def _rename_variant(counter: Counter, product: int, variant: int, sku: str) -> Any:
    path = f"/admin/products/{product}/variants/{variant}"
    return counter.send("PUT", path, who=counter.admin, json={"sku": sku})


def test_each_change_of_an_own_id_is_followed(counter: Counter) -> None:
    product, variant = counter.product("Lamp", sku="lamp")
    category = _category(counter)
    brand = counter.send("POST", "/admin/brands", who=counter.admin, json={"name": "B"}, status=201)["id"]
    ada = counter.desk.person("ada")
    _rename_variant(counter, product, variant, "one")
    changes: list[tuple[IdKind, str, str, str, str, dict[str, str] | None]] = [
        (
            IdKind.VARIANT,
            "sku",
            "one",
            "PUT",
            f"/admin/products/{product}/variants/{variant}",
            {"sku": "two"},
        ),
        (IdKind.PRODUCT, "sku", "lamp", "PATCH", f"/admin/products/{product}", {"sku": "other"}),
        (IdKind.CATEGORY, "slug", "new", "PUT", f"/admin/categories/{category}", {"name": "Newer"}),
        (IdKind.BRAND, "name", "B", "PUT", f"/admin/brands/{brand}", {"name": "C"}),
        (IdKind.USER, "username", "ada", "PATCH", "/users/me", {"username": "lovelace"}),
        (IdKind.PRODUCT, "sku", "other", "DELETE", f"/admin/products/{product}", None),
        (IdKind.CATEGORY, "slug", "newer", "DELETE", f"/admin/categories/{category}", None),
        (IdKind.BRAND, "name", "C", "DELETE", f"/admin/brands/{brand}", None),
    ]
    for kind, scheme, value, method, path, body in changes:
        own_id = OwnId(scheme, value)
        assert (kind, own_id) in RESOLVER.look_up([own_id]), own_id
        assert RESOLVER.cached([own_id]) is not None
        who = ada if path == "/users/me" else counter.admin
        counter.send(method, path, who=who, json=body, status=200 if body else 204)
        assert RESOLVER.look_up([own_id]) == {}, own_id


def test_answers_have_the_own_id_beside_the_number(counter: Counter) -> None:
    product, variant = counter.product("Lamp", sku="a/b")
    _rename_variant(counter, product, variant, "one")
    assert counter.send("GET", f"/products/{product}/stock")["sku"] == "a/b"
    stock = counter.send("POST", f"/admin/variants/{variant}/stock", who=counter.admin, json={"change": 1})
    assert stock["sku"] == "a/b"
    log = counter.send("GET", "/admin/products/sku:a%2Fb/stock-log", who=counter.admin)
    assert {entry["sku"] for entry in log["items"]} == {"one"}
    ada = counter.desk.person("ada")
    review = counter.send("PUT", "/products/sku:one/review", who=ada, json={"rating": 4}, status=201)
    assert (review["product_id"], review["sku"]) == (product, "a/b")
    assert (review["user_id"], review["username"]) == (ada.id, "ada")
    counter.send("POST", f"/admin/reviews/{review['id']}/approve", who=counter.admin)
    (public,) = counter.send("GET", "/products/sku:one/reviews")["items"]
    assert (public["username"], public["sku"]) == ("ada", "a/b")
    picture = {"src": "/a.png", "variant_id": "sku:one"}
    path = f"/admin/products/{product}/images"
    assert counter.send("POST", path, who=counter.admin, json=picture, status=201)["sku"] == "one"
    (image,) = counter.send("GET", f"/products/{product}")["images"]
    assert (image["variant_id"], image["sku"]) == (variant, "one")
    body = {"sku": "a/b", "feedback_type": "clicked"}
    assert counter.send("POST", "/recommendations/feedback", who=ada, json=body)["stored"] == 1
    mine = {"username": "ada", "sku": "one", "interaction_type": "view"}
    assert counter.send("POST", "/interactions", who=ada, json=mine)["stored"] == 1
    (piece,) = counter.send("GET", "/recommendations/feedback", who=ada)["items"]
    assert (piece["product_id"], piece["sku"]) == (product, "a/b")
    category = _category(counter)
    target = {"product_ids": ["sku:a/b"], "category_id": {"name": "New"}}
    rule = {"name": "r", "kind": "hide", "target": target}
    made = counter.send("POST", "/recommendations/rules", who=counter.admin, json=rule, status=201)
    assert (made["target"]["product_ids"], made["target"]["category_id"]) == ([product], category)
    assert made["target_own_ids"] == {"skus": ["a/b"], "category_slug": "new", "brand_slug": None}
