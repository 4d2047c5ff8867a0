"""Segments: against rankings of each user, by hand, and without those who refuse or are inactive."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.base import Recommender
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.products import service as products
from recsys.domains.products.schemas import ProductChange
from recsys.errors import Invalid, NotFound
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from serving.segments.members import NamedMember, Segment, SegmentKind, SegmentMember, as_csv, named
from serving.segments.service import SegmentRequest, make
from tests.recsys.imports.desk import Desk
from tests.serving import shopping
from tests.serving.api.answers import execute
from tests.serving.segments.people import INACTIVE, REFUSING
from tests.support.shop import Shop


def segment(kind: str, **request: Any) -> Segment:
    with unit_of_work() as session:
        return make(session, SegmentRequest(SegmentKind(kind), **request))


def with_names(found: Segment) -> list[NamedMember]:
    with unit_of_work() as session:
        return named(session, found.members)


def users(found: Segment) -> list[int]:
    return [member.user_id for member in found.members]


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(
    ("wanted", "products"),
    [
        ({"category_id": 1}, range(1, 61)),
        ({"product_ids": (70, 95)}, (70, 95)),
        ({"category_id": 4}, range(61, 91)),
    ],
)
def test_buyers_are_the_transposed_lists_with_their_chances(
    model: Recommender, new: bool, wanted: dict[str, Any], products: range
) -> None:
    expected: dict[int, tuple[int, object]] = {}
    assert model.chances_ is not None
    calibration = model.chances_.new if new else model.chances_.any
    for user in range(1, shopping.USERS + 1):
        if user in (REFUSING, INACTIVE):
            continue
        listed, scores = model.recommend(
            [user], 120, exclude="seen" if new else None, only=list(products)
        ).row(0)
        if listed.size:
            expected[user] = int(listed[0]), float(calibration(scores[:1])[0])
    found = segment("buyers", new=new, **wanted)
    assert found.model == "knn-v1"
    assert {m.user_id: (m.product_id, pytest.approx(m.chance)) for m in found.members} == expected
    assert expected
    order = [(-(m.chance or 0), m.user_id) for m in found.members]
    assert order == sorted(order)
    assert users(segment("buyers", new=new, limit=3, **wanted)) == users(found)[:3]


def test_look_alikes_buy_the_same(model: Recommender) -> None:
    found = segment("look-alikes", user_ids=(1, 2, 3))
    assert set(users(found)[:6]) == {4, 6, 7, 8, 9, 10}, "the others who buy coffee"
    assert not {1, 2, 3, REFUSING, INACTIVE} & set(users(found))
    similarity = [member.similarity or 0.0 for member in found.members]
    assert similarity == sorted(similarity, reverse=True)
    assert all(0 < each <= 1 for each in similarity)
    assert set(users(segment("look-alikes", user_ids=(21,)))) == {*range(22, 29), 30}


def test_a_user_with_the_same_products_is_most_alike(trained_shop: Shop) -> None:
    execute(
        trained_shop,
        "INSERT INTO recommendations_db.user_interactions "
        "(user_id, product_id, interaction_type, created_at) "
        "SELECT 30, product_id, interaction_type, created_at FROM recommendations_db.user_interactions "
        "WHERE user_id = 12",
    )
    execute(
        trained_shop,
        "DELETE FROM recommendations_db.user_interactions WHERE user_id = 30 AND product_id > 90",
    )
    shopping.promote(shopping.fit(), "knn-v2", 2)
    nearest = segment("look-alikes", user_ids=(12,), limit=1).members
    assert nearest == [SegmentMember(30, similarity=pytest.approx(1.0))]


@pytest.mark.one_server
def test_the_next_category_is_one_without_an_interaction(open_shop: Shop) -> None:
    shopping.promote(shopping.fit("popularity"), "popular-v1")
    known = dict(
        execute(
            open_shop,
            "SELECT user_id, array_agg(DISTINCT category_id) FROM recommendations_db.user_interactions i "
            "JOIN products_db.products p ON p.id = i.product_id GROUP BY user_id",
        )
    )
    found = segment("next-category")
    assert set(users(found)) == set(range(1, 31)) - {INACTIVE}
    category_of = dict(execute(open_shop, "SELECT id, category_id FROM products_db.products"))
    for member in found.members:
        assert member.category_id not in known[member.user_id]
        assert category_of[member.product_id] == member.category_id
        assert 0 < (member.chance or 0) < 1
    # who knows a category knows it, too, when what they had of it is sold no more
    execute(
        open_shop,
        "UPDATE products_db.products SET status = 'archived' WHERE id IN "
        "(SELECT product_id FROM recommendations_db.user_interactions WHERE user_id = 1)",
    )
    assert {member.user_id: member.category_id for member in segment("next-category").members}[
        1
    ] not in known[1]


def purchases(shop: Shop, rows: list[tuple[int, int, float]], now: datetime) -> None:
    """Purchases of (user, product, days ago), and none beside them."""
    execute(shop, "DELETE FROM recommendations_db.user_interactions")
    for user, product, days in rows:
        execute(
            shop,
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at)"
            " VALUES (%s, %s, 'purchase', %s)",
            user,
            product,
            now - timedelta(days=days),
        )


def test_replenishment_is_due_after_the_own_interval_or_that_of_all(
    open_shop: Shop,
) -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    rows = [
        # every ten days, twice on one day: due in four days
        (1, 7, 26), (1, 7, 16), (1, 7, 6), (1, 7, 6.1),
        # every thirty days: due in two weeks
        (2, 7, 76), (2, 7, 46), (2, 7, 16),
        # once, eight days ago: the median interval of the product, ten days
        (3, 7, 8),
        # long ago: due long ago
        (4, 7, 100), (4, 7, 90),
        # once, and refuses
        (REFUSING, 7, 8),
        # a product with one repeat has no interval
        (6, 8, 20), (6, 8, 10),
    ]  # fmt: skip
    purchases(open_shop, rows, now)
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    with clock.frozen_at(now):
        week, three_weeks = segment("replenishment"), segment("replenishment", days=21)
    midnight = now.replace(hour=0)
    # five repeats of nine purchases on different days, without those of who refuses
    chance = pytest.approx((5 + 1) / (9 + 2))
    assert week.members == [
        SegmentMember(3, 7, chance=chance, at=midnight + timedelta(days=2)),
        SegmentMember(1, 7, chance=chance, at=midnight + timedelta(days=4)),
    ]
    assert users(three_weeks) == [3, 1, 2]


def test_days_are_counted_from_the_newest_interaction_where_the_data_are_old(open_shop: Shop) -> None:
    end = datetime(2017, 12, 31, 12, tzinfo=UTC)
    rows = [(1, 7, 26.0), (1, 7, 16.0), (1, 7, 6.0), (2, 7, 19.0), (2, 7, 9.0), (3, 8, 0.0)]
    purchases(open_shop, rows, end)
    found = segment("replenishment")
    assert found.from_old_data
    assert found.as_of == end + timedelta(microseconds=1)
    assert users(found) == [2, 1]
    at_the_end = segment("replenishment", as_of=end + timedelta(microseconds=1))
    assert at_the_end.members == found.members
    assert not at_the_end.from_old_data
    # a week earlier only the purchases until then count: of user 1 another one was due, and no interval known
    assert segment("replenishment", as_of=end - timedelta(days=15)).members == []
    with clock.frozen_at(end + timedelta(days=6)):
        young = segment("replenishment")
    assert (young.as_of, young.from_old_data) == (end + timedelta(days=6), False)
    answer = open_shop.run("segments", "replenishment")
    assert "days are counted from the newest interaction, 2017-12-31 12:00 UTC" in " ".join(
        answer.stdout.split()
    )


def test_who_looked_is_counted_from_the_newest_interaction_where_the_data_are_old(open_shop: Shop) -> None:
    end = datetime(2017, 12, 31, 12, tzinfo=UTC)
    looks(open_shop, [(1, 7, "view", 50), (2, 7, "view", 70), (3, 8, "view", 0)], end)
    execute(
        open_shop,
        "INSERT INTO products_db.inventory_logs (product_id, old_quantity, new_quantity, created_at) "
        "VALUES (7, 0, 5, %s)",
        clock.now() - timedelta(days=1),
    )
    assert users(segment("back-in-stock")) == [1]
    assert segment("back-in-stock", as_of=clock.now()).members == []


def looks(shop: Shop, rows: list[tuple[int, int, str, float]], now: datetime) -> None:
    execute(shop, "DELETE FROM recommendations_db.user_interactions")
    for user, product, kind, days in rows:
        execute(
            shop,
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at)"
            " VALUES (%s, %s, %s, %s)",
            user, product, kind, now - timedelta(days=days),
        )  # fmt: skip


LOOKS = [
    (1, 7, "view", 9.0), (1, 7, "view", 5.0),
    (2, 7, "add_to_cart", 6.0),
    (3, 7, "view", 6.0), (3, 7, "purchase", 4.0),  # bought it since
    (4, 7, "view", 70.0),  # too long ago
    (6, 7, "view", 1.0),  # after the change
    (7, 8, "view", 6.0),  # another product, which did not change
    (REFUSING, 7, "view", 6.0), (INACTIVE, 7, "view", 6.0),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["price-drop", "back-in-stock"])
def test_who_looked_at_what_changed_and_did_not_buy_it(open_shop: Shop, kind: str) -> None:
    now = clock.now()
    looks(open_shop, LOOKS, now)
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    assert segment(kind).members == []
    for product in (7, 8):
        execute(
            open_shop,
            "INSERT INTO analytics_db.outbox (event_id, family, name, version, aggregate, data, occurred_at) "
            "VALUES (gen_random_uuid(), 'products', 'product.price_changed', 1, %s, %s::json, %s)",
            f"product:{product}", json.dumps({"product_id": product, "price": "5.00"}),
            now - timedelta(days=3),
        )  # fmt: skip
    execute(open_shop, "UPDATE products_db.products SET compare_price = price + 1 WHERE id = 7")
    execute(open_shop, "UPDATE products_db.products SET compare_price = price - 1 WHERE id = 8")
    for product, before, after in ((7, 0, 5), (8, 3, 5)):
        execute(
            open_shop,
            "INSERT INTO products_db.inventory_logs (product_id, old_quantity, new_quantity, created_at) "
            "VALUES (%s, %s, %s, %s)",
            product, before, after, now - timedelta(days=3),
        )  # fmt: skip
    found = segment(kind)
    assert [(m.user_id, m.product_id, m.at) for m in found.members] == [
        (1, 7, now - timedelta(days=5)),
        (2, 7, now - timedelta(days=6)),
    ]
    assert segment(kind, days=2).members == []
    assert users(segment(kind, looked_days=5.5)) == [1]
    assert users(segment(kind, looked_days=80)) == [1, 2, 4]
    execute(open_shop, "UPDATE products_db.product_variants SET inventory_quantity = 0")
    execute(open_shop, "UPDATE products_db.products SET compare_price = NULL")
    assert segment(kind).members == []


def price_changed(shop: Shop, days_ago: float, now: datetime, **data: object) -> None:
    execute(
        shop,
        "INSERT INTO analytics_db.outbox (event_id, family, name, version, aggregate, data, occurred_at) "
        "VALUES (gen_random_uuid(), 'products', 'product.price_changed', 1, %s, %s::json, %s)",
        f"product:{data['product_id']}", json.dumps(data), now - timedelta(days=days_ago),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moves", "price", "is_lower"),
    [
        ([{"price": "8", "former_price": "10"}], 8, True),
        ([{"price": "12", "former_price": "10"}], 12, False),
        # several changes of the period count together, whatever the last one was
        ([{"price": "8", "former_price": "10"}, {"price": "9", "former_price": "8"}], 9, True),
        ([{"price": "12", "former_price": "10"}, {"price": "11", "former_price": "12"}], 11, False),
        ([{"price": "8", "former_price": "10"}, {"price": "10", "former_price": "8"}], 10, False),
        # events of the version before have the new price only
        ([{"price": "8"}], 8, False),
        ([{"price": "10", "ago": 30}, {"price": "8"}], 8, True),
        ([{"price": "7", "ago": 30}, {"price": "8"}], 8, False),
    ],
)
def test_a_lower_price_is_one_below_that_of_before_the_changes(
    open_shop: Shop, moves: list[dict[str, object]], price: int, is_lower: bool
) -> None:
    now = clock.now()
    looks(open_shop, [(1, 7, "view", 6.0)], now)
    for number, move in enumerate(moves):
        given = dict(move)
        price_changed(open_shop, given.pop("ago", 3 - number), now, product_id=7, **given)  # type: ignore[arg-type]
    execute(open_shop, "UPDATE products_db.products SET price = %s, compare_price = NULL WHERE id = 7", price)
    assert users(segment("price-drop")) == ([1] if is_lower else [])
    execute(open_shop, "UPDATE products_db.products SET status = 'archived' WHERE id = 7")
    assert segment("price-drop").members == []


def test_a_price_that_the_shop_lowers_is_a_lower_price_without_compare_price(open_shop: Shop) -> None:
    looks(open_shop, [(1, 7, "view", 6.0)], clock.now())
    execute(open_shop, "UPDATE products_db.products SET price = 10, compare_price = NULL WHERE id = 7")
    with unit_of_work() as session:
        products.change(session, 7, ProductChange.model_validate({"price": "8.00"}))
    assert users(segment("price-drop")) == [1]
    with unit_of_work() as session:
        products.change(session, 7, ProductChange.model_validate({"price": "10.50"}))
    assert segment("price-drop").members == []


def test_an_import_that_lowers_a_price_and_brings_stock_counts(open_shop: Shop, tmp_path: Path) -> None:
    looks(open_shop, [(1, 7, "view", 6.0), (2, 8, "like", 3.0)], clock.now())
    execute(open_shop, "UPDATE products_db.product_variants SET sku = 'sku' || product_id")
    execute(open_shop, "UPDATE products_db.product_variants SET inventory_quantity = 0 WHERE product_id = 8")
    Desk(open_shop, tmp_path).take(
        products="product,name,price,stock\nsku7,Seven,5,5\nsku8,Eight,8.25,40\nsku9,Nine,30,5\n"
    )
    assert users(segment("price-drop")) == [1]
    assert users(segment("back-in-stock")) == [2]


def test_csv_has_all_columns() -> None:
    moment = datetime(2026, 11, 29, tzinfo=UTC)
    member = NamedMember(3, "anna", 7, "EL-7", "A lamp, red", None, None, None, 0.25, None, moment)
    other = NamedMember(4, *[None] * 10)
    rows = list(csv.DictReader(as_csv([member, other]).splitlines()))
    assert list(rows[0]) == list(asdict(member))
    assert rows[0]["at"] == "2026-11-29T00:00:00+00:00"
    assert (rows[0]["chance"], rows[1]["chance"], rows[1]["user_id"]) == ("0.25", "", "4")
    assert (rows[0]["sku"], rows[0]["product"], rows[0]["category_id"]) == ("EL-7", "A lamp, red", "")


def test_requests_that_name_nothing_are_refused(open_shop: Shop) -> None:
    with pytest.raises(NotFound, match="no model is active"):
        segment("next-category")
    for request, message in (
        ({"kind": "buyers"}, "name a product"),
        ({"kind": "buyers", "product_ids": (999,)}, "on sale"),
        ({"kind": "look-alikes"}, "name one user"),
        ({"kind": "replenishment", "days": 0}, "days"),
        ({"kind": "replenishment", "limit": 0}, "limit"),
    ):
        with pytest.raises(Invalid, match=message):
            segment(**request)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="no category 77"):
        segment("buyers", category_id=77)


def test_the_command_prints_and_exports(trained_shop: Shop, tmp_path: Path) -> None:
    expected = segment("buyers", category_id=4, limit=5)
    members = with_names(expected)
    for category in (4, "slug:lamps", "name:Lamps"):
        answer = trained_shop.run("segments", "buyers", "--category", category, "--limit", 5, "--json")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout) == asdict(expected) | {"members": [asdict(each) for each in members]}
    target = tmp_path / "buyers.csv"
    answer = trained_shop.run("segments", "buyers", "--category-id", 4, "--limit", 5, "--csv", target)
    assert answer.stdout == f"5 users: {target}\n"
    assert target.read_bytes().decode() == as_csv(members)
    table = trained_shop.run("segments", "look-alikes", "--user", "username:u1", "--limit", 2)
    assert "2 users, by knn-v1" in table.stdout
    for arguments, message in (
        (("buyers",), "name a product"),
        (("buyers", "--product", 1, "--json", "--csv", "-"), "not both"),
        (("buyers", "--product", "lamp"), "names no product"),
        (("buyers", "--product", "sku:none"), "No product has the sku 'none'"),
        (("buyers", "--brand", "slug:none"), "No brand"),
        (("replenishment", "--as-of", "yesterday"), "no moment"),
        (("replenishment", "--as-of", "2999-01-01"), "future"),
        (("replenishment", "--days", "-1"), "days"),
        (("look-alikes", "--user-id", 999), "knows none of these users"),
    ):
        wrong = trained_shop.run("segments", *arguments)
        assert wrong.returncode == 2, arguments
        assert message in wrong.stderr
        assert len(wrong.stderr.strip().splitlines()) == 1


def test_the_route_is_for_administrators(client: httpx.Client, scored_shop: Shop) -> None:
    path = "/api/v1/admin/segments/buyers"
    assert client.get(path, params={"category_id": 4}).status_code == 401
    for scope, status in (("recommend", 403), ("admin", 200)):
        client.headers["X-Api-Key"] = scored_shop.run(
            "keys", "create", scope, "--scope", scope
        ).stdout.strip()
        assert client.get(path, params={"category_id": 4}).status_code == status
    answer = client.get(path, params={"category_id": 4, "limit": 3})
    assert answer.status_code == 200, answer.text
    expected = segment("buyers", category_id=4, limit=3)
    assert answer.json()["model"] == expected.model
    for out, member in zip(answer.json()["members"], expected.members, strict=True):
        assert (out["user_id"], out["product_id"]) == (member.user_id, member.product_id)
        assert out["chance"] == pytest.approx(member.chance)
        assert (out["username"], out["sku"]) == (f"u{member.user_id}", f"sku{member.product_id}")
    by_name: dict[str, str | int] = {"category_id": "slug:lamps", "product_id": "sku:sku70", "limit": 3}
    assert client.get(path, params=by_name).json() == answer.json()
    assert client.get(path, params=by_name | {"as_of": "2024-02-01T00:00:00Z"}).status_code == 422
    assert client.get(path).status_code == 422
    assert client.get("/api/v1/admin/segments/everybody").status_code == 422
    assert client.get(path, params={"category_id": 77}).status_code == 404
    assert np.all([0 <= out["chance"] <= 1 for out in answer.json()["members"]])
