"""Stock called directly: who gets the last pieces, what goes back, and nobody waiting in a circle."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from recsys.database.session import unit_of_work
from recsys.domains.products import inventory, service
from recsys.domains.products.inventory import Line
from recsys.domains.products.schemas import ProductIn, VariantIn
from recsys.errors import Conflict, NotFound
from tests.journeys.conftest import Counter
from tests.support.shop import Shop


def product(name: str, stock: int) -> tuple[int, int]:
    with unit_of_work() as session:
        made = service.create(session, ProductIn(name=name, price="1.00"))  # type: ignore[arg-type]
        one = service.add_variant(session, made.id, VariantIn(name="one", inventory_quantity=stock), by=None)
        return made.id, one.id


def left(variant: int) -> int:
    with unit_of_work() as session:
        return int(
            session.scalar(
                text("SELECT inventory_quantity FROM products_db.product_variants WHERE id = :id"),
                {"id": variant},
            )
            or 0
        )


def reserve(*lines: Line, reference: str = "R-1") -> None:
    with unit_of_work() as session:
        inventory.reserve(session, lines, reference=reference)


def test_all_or_nothing_and_everything_short_is_named(shop: Shop) -> None:
    lamp, rug = product("Lamp", 5), product("Rug", 1)
    with pytest.raises(Conflict, match=r"Rug \(1 left, 2 wanted\)"):
        reserve(Line(*lamp, 5), Line(*rug, 2))
    assert (left(lamp[1]), left(rug[1])) == (5, 1)
    with pytest.raises(Conflict, match=r"Lamp \(5 left, 6 wanted\), Rug"):
        reserve(Line(*lamp, 3), Line(*lamp, 3), Line(*rug, 9))
    with pytest.raises(NotFound):
        reserve(Line(lamp[0], 999_999, 1))


def test_a_hundred_at_once_get_exactly_what_is_there(shop: Shop) -> None:
    lamp = product("Lamp", 10)

    def one(number: int) -> bool:
        try:
            reserve(Line(*lamp, 1), reference=f"R-{number}")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(one, range(100)))
    assert sum(got) == 10
    assert left(lamp[1]) == 0
    with unit_of_work() as session:
        logs = session.execute(
            text(
                "SELECT old_quantity, new_quantity FROM products_db.inventory_logs WHERE reason = 'reserved'"
            )
        ).all()
    assert sorted(old for old, _ in logs) == list(range(1, 11))
    assert all(new == old - 1 for old, new in logs)


def test_orders_with_the_same_things_the_other_way_round_do_not_wait_in_a_circle(shop: Shop) -> None:
    lamp, rug = product("Lamp", 1000), product("Rug", 1000)
    there, back = [Line(*lamp, 1), Line(*rug, 1)], [Line(*rug, 1), Line(*lamp, 1)]
    with ThreadPoolExecutor(8) as pool:
        for done in [
            pool.submit(reserve, *(there if n % 2 else back), reference=f"R-{n}") for n in range(60)
        ]:
            done.result()
    assert (left(lamp[1]), left(rug[1])) == (940, 940)


def test_what_goes_back_is_what_was_taken_under_the_reference(shop: Shop) -> None:
    lamp = product("Lamp", 10)
    reserve(Line(*lamp, 3))
    for _ in range(2):
        with unit_of_work() as session:
            inventory.release(session, [Line(*lamp, 5)], reference="R-1", reason="cancelled")
    assert left(lamp[1]) == 10
    with unit_of_work() as session:
        service.get(session, lamp[0]).track_inventory = False
    reserve(Line(*lamp, 3), reference="R-2")
    with unit_of_work() as session:
        service.get(session, lamp[0]).track_inventory = True
        inventory.release(session, [Line(*lamp, 3)], reference="R-2", reason="cancelled")
    assert left(lamp[1]) == 10


def test_a_deletion_waits_for_a_reservation_instead_of_breaking_it(shop: Shop) -> None:
    lamp = product("Lamp", 10)
    deleted = threading.Event()

    def delete() -> None:
        with unit_of_work() as session:
            service.delete(session, lamp[0])
        deleted.set()

    with unit_of_work() as session:
        # as reserve() does first: the deletion has to wait from here on
        inventory._locked(session, {lamp[1]: 1})
        deleting = threading.Thread(target=delete)
        deleting.start()
        assert not deleted.wait(0.3)
        inventory.reserve(session, [Line(*lamp, 4)], reference="R-1")
    deleting.join(20)
    assert deleted.is_set()
    with pytest.raises(NotFound):
        reserve(Line(*lamp, 1))


def test_a_variant_keeps_its_stock_when_it_is_renamed_and_the_last_one_stays(counter: Counter) -> None:
    made, variant = counter.product("Lamp", stock=7)
    path = f"/admin/products/{made}/variants/{variant}"
    renamed = counter.send("PUT", path, who=counter.admin, json={"name": "two"})
    assert (renamed["name"], renamed["inventory_quantity"]) == ("two", 7)
    answer = counter.send("DELETE", path, who=counter.admin, status=409)
    assert "last variant" in answer["detail"]
