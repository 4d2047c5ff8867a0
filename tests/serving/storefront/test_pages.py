"""The pages of the shop front, as a browser without scripts gets them and their content as JSON."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.recommendations import preferences
from recsys.domains.recommendations.schemas import Taste
from recsys.settings import get_settings
from recsys.web.route_names import all_routes
from serving.pages.security_headers import CONTENT_SECURITY_POLICY
from serving.server.app import create_app
from tests.serving.running import running
from tests.serving.storefront.conftest import become
from tests.support.shop import Shop
from tests.support.web.pages import send_form

PAGES = ("/shop", "/shop/search", "/shop/categories/1", "/shop/products/5", "/shop/cart", "/shop/my-list")


def _content(client: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(path, params={"format": "json", **parameters})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def _lists(client: httpx.Client, path: str = "/shop") -> dict[str, list[int]]:
    """The products of each list of a page."""
    sections = _content(client, path)["sections"]
    return {section["placement"]: [item["id"] for item in section["items"]] for section in sections}


def _events(shop: Shop, kind: str) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(
            "SELECT user_id, product_id, interaction_value FROM recommendations_db.user_interactions "
            "WHERE interaction_type = %s AND created_at > now() - interval '1 hour' ORDER BY id",
            [kind],
        ).fetchall()


@pytest.mark.parametrize("username", ["", "u3"])
def test_every_page_is_complete_without_scripts_and_as_json(front: httpx.Client, username: str) -> None:
    become(front, username)
    for path in PAGES:
        answer = front.get(path, params={"plain": "1"})
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert "<recsys-" not in answer.text, path
        assert "<style" not in answer.text, path
        assert " style=" not in answer.text, path
        assert isinstance(_content(front, path), dict)
        # with scripts: the same page leads a browser without them to the one above
        scripted = front.get(path)
        assert scripted.status_code == 200
        assert 'http-equiv="refresh"' in scripted.text
        assert 'data-key="pk_' in scripted.text
    assert "Coffee" in front.get("/shop?plain=1").text


def test_lists_of_the_home_page_are_those_of_the_visitor_and_repeat_nothing(front: httpx.Client) -> None:
    become(front, "u12")
    lists = _lists(front)
    assert lists["buy_again"]
    assert all(61 <= product <= 90 for product in lists["buy_again"])  # lamps, as everything that u12 did
    displayed = [product for products in lists.values() for product in products]
    assert len(displayed) == len(set(displayed))
    stored = front.get("/api/v1/users/12/recommendations?limit=12").json()["items"]
    assert lists["for_you"] == [item["product_id"] for item in stored]


def test_what_a_guest_likes_and_dismisses_changes_the_next_list(
    front: httpx.Client, searchable_shop: Shop
) -> None:
    become(front, "")
    popular = _lists(front)["for_you"]
    for product in (93, 96, 99):
        liked = send_form(front, f"/shop/products/{product}/like", {}, page="/shop")
        assert liked.status_code == 303, liked.text
    chairs = _lists(front)["for_you"]
    assert chairs != popular
    assert sum(91 <= product <= 120 for product in chairs) > sum(91 <= product <= 120 for product in popular)
    first = chairs[0]
    dismissal = {"product": first, "verdict": "dismiss"}
    assert send_form(front, "/shop/my-list", dismissal, page="/shop/my-list").status_code == 303
    page = _content(front, "/shop/my-list")
    assert first not in [item["id"] for item in page["section"]["items"]]
    assert [item["id"] for item in page["dismissed"]] == [first]
    restoring = {"product": first, "verdict": "restore"}
    assert send_form(front, "/shop/my-list", restoring, page="/shop/my-list").status_code == 303
    page = _content(front, "/shop/my-list")
    assert first in [item["id"] for item in page["section"]["items"]]
    assert page["dismissed"] == []
    assert len(_events(searchable_shop, "like")) == 3


def test_another_visitor_begins_with_nothing_of_the_former(front: httpx.Client) -> None:
    become(front, "")
    cart = {"product": 5, "quantity": 2}
    assert send_form(front, "/shop/cart", cart, page="/shop/products/5").status_code == 303
    assert _content(front, "/shop/cart")["cart"]["lines"][0]["quantity"] == 2
    for username in ("u3", ""):
        become(front, username)
        assert _content(front, "/shop/cart")["cart"]["lines"] == []


def test_a_cart_is_completed_ordered_once_and_paid(front: httpx.Client, searchable_shop: Shop) -> None:
    become(front, "u3")
    for product in (5, 8):
        send_form(front, "/shop/cart", {"product": product, "quantity": 1}, page="/shop")
    send_form(front, "/shop/cart", {"product": 8, "quantity": 3, "step": "set"}, page="/shop/cart")
    page = _content(front, "/shop/cart")
    assert [(line["product"], line["quantity"]) for line in page["cart"]["lines"]] == [(5, 1), (8, 3)]
    assert page["cart"]["total"] == "30.00"  # 5.25 + 3 × 8.25
    (section,) = page["sections"]
    assert section["items"]
    assert not {5, 8} & {item["id"] for item in section["items"]}
    form = {
        "name": "User Three", "address": "1 Street", "city": "Town", "zip": "1", "country": "US",
        "card": "tok_declined", "key": _content(front, "/shop/checkout")["key"],
    }  # fmt: skip
    declined = send_form(front, "/shop/checkout", form, page="/shop")
    order = declined.headers["location"]
    assert order.startswith("/shop/orders/")
    assert _content(front, order)["is_paid"] is False
    again = send_form(front, "/shop/checkout", form, page="/shop")
    assert again.headers["location"] == order
    paid = send_form(front, f"{order}/pay", {"card": "tok_visa"}, page=order)
    assert paid.headers["location"] == f"{order}?fresh=true"
    bought = _content(front, order, fresh="true")
    assert bought["is_paid"] is True
    assert bought["purchase"]["items"] == [{"sku": "sku5", "quantity": 1}, {"sku": "sku8", "quantity": 3}]
    assert _content(front, "/shop/cart")["cart"]["lines"] == []
    # an order is its owner's alone
    become(front, "u4")
    assert front.get(order).status_code == 404


def test_search_and_categories_have_facets_and_pages(front: httpx.Client) -> None:
    coffee = _content(front, "/shop/search", q="coffee")
    assert coffee["total"] == 60
    assert all("Coffee" in product["name"] for product in coffee["products"])
    seen: list[int] = []
    path: str | None = "/shop/categories/3?sort=name"
    while path is not None:
        page = front.get(f"{path}&format=json").json()
        seen += [product["id"] for product in page["products"]]
        path = page["next"]
    assert sorted(seen) == list(range(61, 121))
    home = _content(front, "/shop/categories/3")
    facets = {group["title"]: group["links"] for group in home["facets"]}
    assert {link["name"] for link in facets["Category"]} == {"Lamps", "Chairs"}
    cheapest = facets["Price"][0]
    narrowed = front.get(f"{cheapest['path']}&format=json").json()
    assert narrowed["total"] == cheapest["count"]
    misspelt = _content(front, "/shop/search", q="cofee")
    assert misspelt["total"] or misspelt["suggestion"]


def test_a_household_says_what_it_likes(front: httpx.Client, searchable_shop: Shop) -> None:
    become(front, "u3")
    form = {"taste-0": "1", "taste-1": "-1", "highest_price": "20"}
    assert send_form(front, "/shop/my-list/tastes", form, page="/shop/my-list").status_code == 303
    page = _content(front, "/shop/my-list")
    assert page["tastes"] == [{"name": "Food", "value": 1}, {"name": "Home", "value": -1}]
    assert page["highest_price"] == "20.00"
    wrong = send_form(front, "/shop/my-list/tastes", {"highest_price": "much"}, page="/shop/my-list")
    assert wrong.status_code == 422
    assert "such as 20.00" in wrong.text
    become(front, "")
    assert send_form(front, "/shop/my-list/tastes", form, page="/shop/my-list").status_code == 422


def test_tastes_that_are_stored_otherwise_stay_what_they_are(front: httpx.Client) -> None:
    """By slug, with a strength, beside a lowest price: the form changes what was changed in it."""
    become(front, "u3")
    stored = {"categories": {"food": 0.5, "Lamps": 0.25}, "price_range": {"min": 3, "max": 30}}
    with unit_of_work() as session:
        preferences.replace(session, 3, Taste.model_validate(stored))
    assert [each["value"] for each in _content(front, "/shop/my-list")["tastes"]] == [1, 0]

    def send(**form: str) -> dict[str, float]:
        fields = {"highest_price": "20", **form}
        answer = send_form(front, "/shop/my-list/tastes", fields, page="/shop/my-list")
        assert answer.status_code == 303, answer.text
        with unit_of_work() as session:
            kept = preferences.of_user(session, 3).explicit
        assert kept.price_range is not None
        assert (kept.price_range.min, kept.price_range.max) == (3, 20)
        return dict(kept.categories)

    assert send(**{"taste-0": "1", "taste-1": "0"}) == {"food": 0.5, "Lamps": 0.25}
    assert send(**{"taste-0": "-1", "taste-1": "1"}) == {"Food": -1.0, "Lamps": 0.25, "Home": 1.0}
    assert send(**{"taste-0": "0", "taste-1": "0"}) == {"Lamps": 0.25}


@pytest.mark.parametrize(
    "wrong", [{"country": "12"}, {"name": "x" * 150 + " y"}, {"name": "y " + "x" * 150}, {"email": "nobody"}]
)
def test_a_wrong_address_is_refused_with_a_reason(front: httpx.Client, wrong: dict[str, str]) -> None:
    become(front, "")
    send_form(front, "/shop/cart", {"product": 5, "quantity": 1}, page="/shop")
    form = {
        "name": "A Guest", "address": "1 Street", "city": "Town", "zip": "1", "country": "US",
        "email": "guest@example.org", "card": "tok_visa", "key": _content(front, "/shop/checkout")["key"],
    }  # fmt: skip
    answer = send_form(front, "/shop/checkout", form | wrong, page="/shop")
    assert answer.status_code == 422
    assert "Nothing was ordered." in answer.text


def test_a_cookie_with_a_nul_is_a_new_guest(front: httpx.Client) -> None:
    become(front, "u3")
    name = next(name for name, value in front.cookies.items() if value.endswith("u3"))
    value = front.cookies[name]
    front.cookies.clear()
    front.cookies.set(name, value.removesuffix("u3") + "%00")
    assert front.get("/shop?plain=1").status_code == 200


def test_where_no_key_can_be_made_the_server_draws_the_lists(
    front: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_SHOP__FRONT", "true")
    get_settings.cache_clear()
    host = {"Host": "10.0.0.5:8000"}
    led = front.get("/shop", headers=host)
    assert led.status_code == 303
    assert led.headers["location"] == "/shop?plain=1"
    page = front.get("/shop?plain=1", headers=host)
    assert page.status_code == 200
    assert "/shop/products/" in page.text


def test_an_order_whose_product_was_deleted_has_no_link_to_it(
    front: httpx.Client, searchable_shop: Shop
) -> None:
    become(front, "u3")
    send_form(front, "/shop/cart", {"product": 5, "quantity": 1}, page="/shop")
    form = {
        "name": "User Three", "address": "1 Street", "city": "Town", "zip": "1", "country": "US",
        "card": "tok_visa", "key": _content(front, "/shop/checkout")["key"],
    }  # fmt: skip
    order = send_form(front, "/shop/checkout", form, page="/shop").headers["location"].partition("?")[0]
    with searchable_shop.connect() as connection:
        connection.execute("UPDATE orders_db.order_items SET product_id = NULL")
    (line,) = _content(front, order)["lines"]
    assert (line["path"], line["picture"]) == (None, None)
    assert "/shop/products/0" not in front.get(order).text


def test_reviews_are_of_households_and_wait_for_approval(front: httpx.Client, searchable_shop: Shop) -> None:
    review = {"rating": 4, "title": "Good", "review": "Strong."}
    become(front, "")
    assert send_form(front, "/shop/products/5/review", review, page="/shop").status_code == 422
    become(front, "u3")
    assert send_form(front, "/shop/products/5/review", review, page="/shop").status_code == 303
    assert _content(front, "/shop/products/5")["reviews"] == []
    with searchable_shop.connect() as connection:
        rows = connection.execute("SELECT rating, user_id FROM products_db.product_reviews").fetchall()
    assert rows == [(4, 3)]


def test_wrong_input_is_a_page_that_says_what_to_do(front: httpx.Client) -> None:
    for path, status in (
        ("/shop/products/99999", 404),
        ("/shop/categories/99", 404),
        ("/shop/nothing", 404),
        ("/shop/orders/1", 404),
        ("/shop/search?sort=wrong", 422),
        ("/shop?colour=red", 422),
    ):
        answer = front.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"].startswith("text/html"), path
        assert "<h1>" in answer.text
    unknown = send_form(front, "/shop/visitor", {"username": "nobody"}, page="/shop")
    assert unknown.status_code == 303
    assert "no user called nobody" in front.get("/shop").text
    assert send_form(front, "/shop/cart", {"product": 99999}, page="/shop").status_code == 404
    assert send_form(front, "/shop/cart", {"product": 5, "quantity": 1000}, page="/shop").status_code == 422


def test_every_form_needs_the_token_of_its_page(front: httpx.Client) -> None:
    posts = [
        route.path
        for route in all_routes(create_app().routes)
        if route.path.startswith("/shop") and "POST" in route.methods
    ]
    assert len(posts) == 9
    for path in posts:
        answer = front.post(path.replace("{number}", "5"), data={"product": "5"})
        assert answer.status_code == 403, path


def test_it_is_served_only_where_a_setting_allows_it(
    scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for environment, setting, status in (
        ("development", None, 200),
        ("development", "false", 404),
        ("test", None, 404),
        ("test", "true", 200),
    ):
        monkeypatch.setenv("RECSYS_ENVIRONMENT", environment)
        monkeypatch.delenv("RECSYS_SHOP__FRONT", raising=False)
        if setting is not None:
            monkeypatch.setenv("RECSYS_SHOP__FRONT", setting)
        get_settings.cache_clear()
        with running(create_app()) as client:
            for path in (*PAGES, "/shop/pictures/5.svg", "/shop/user-token"):
                assert client.get(path).status_code == status, (environment, setting, path)
            start = client.get("/")
            assert start.status_code == 200
            assert ('href="/shop"' in start.text) is (status == 200)
            assert 'href="/console"' in start.text
            assert 'href="/docs"' in start.text
