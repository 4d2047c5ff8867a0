"""What files say of stock, in pieces or in words, is what items of lists say."""

from __future__ import annotations

import pytest

from recsys.database.session import unit_of_work
from recsys.domains.products.item_fields import chosen
from tests.recsys.imports.desk import Desk, counts


def states(desk: Desk) -> dict[str, str]:
    """The stock state of every product by SKU."""
    skus = dict(desk.rows("SELECT id, sku FROM products_db.products"))
    with unit_of_work() as session:
        return {skus[number]: row["stock"] for number, row in chosen(session, list(skus), ["stock"]).items()}


def test_words_about_stock_are_what_items_say_and_follow_the_next_file(desk: Desk) -> None:
    head = "product,name,price,stock,availability\n"
    first = (
        "a,A,1,,in_stock\nb,B,1,,out of stock\nc,C,1,,On Order\nd,D,1,5,out_of_stock\ne,E,1,0,in_stock\n"
        "f,F,1,3,\ng,G,1,,\nh,H,1,2,on_order\n"
    )
    assert counts(desk.take(products=head + first), "products") == (8, 8, 0, 0, 0)
    assert states(desk) == {
        "a": "in_stock",
        "b": "out_of_stock",
        "c": "on_order",
        "d": "out_of_stock",
        "e": "in_stock",
        "f": "in_stock",
        "g": "in_stock",
        "h": "in_stock",
    }
    again = desk.take(products=head + first)
    assert (again.table("products").updated, again.table("product_variants").updated) == (0, 0)
    then = "a,A,1,,out_of_stock\nb,B,1,,in_stock\nc,C,1,0,\nd,D,1,5,in_stock\ne,E,1,,on_order\nf,F,1,0,\n"
    desk.take(products=head + then + "g,G,1,0,\nh,H,1,0,\n")
    assert states(desk) == {
        # what is sold without stock stays so where only pieces are given
        "a": "out_of_stock",
        "b": "in_stock",
        "c": "on_order",
        "d": "in_stock",
        "e": "on_order",
        "f": "out_of_stock",
        "g": "out_of_stock",
        "h": "on_order",
    }


def test_a_product_counts_its_stock_as_its_variants_do(desk: Desk) -> None:
    head = "product,variant_of,name,price,stock,availability\n"
    desk.take(products=head + "s,,Shirt,1,,\ns-1,s,Shirt,1,2,\ns-2,s,Shirt,1,0,\n")
    assert states(desk) == {"s": "in_stock"}
    for word, state in (("out_of_stock", "out_of_stock"), ("on_order", "on_order"), ("in_stock", "in_stock")):
        desk.take(products=head + f"s,,Shirt,1,,\ns-1,s,Shirt,1,0,\ns-2,s,Shirt,1,,{word}\n")
        assert states(desk) == {"s": state}


def test_stock_that_comes_after_the_product_counts(desk: Desk) -> None:
    events = "user,product,interaction_type,created_at\nu,p,view,2024-03-01\n"
    desk.take(interactions=events, create_missing=True)
    assert states(desk) == {"p": "in_stock"}
    desk.take(products="product,name,price,stock\np,P,1,0\n")
    assert states(desk) == {"p": "out_of_stock"}
    desk.take(products="product,name,price\np,P,2\n")
    assert states(desk) == {"p": "out_of_stock"}


@pytest.mark.parametrize("word", ["maybe", "0"])
def test_another_word_is_refused(desk: Desk, word: str) -> None:
    report = desk.take(products=f"product,name,price,availability\np,P,1,{word}\n")
    assert counts(report, "products")[-1] == 1
    assert [refused[2] for refused in desk.refused()] == [
        "availability is none of in_stock, on_order, out_of_stock"
    ]
