"""Prices: known answers, and sums that add up for any cart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.orders.pricing import Discount, PricedLine, Rules, quote
from recsys.errors import Invalid
from recsys.money import ZERO, cents


def line(price: str, quantity: int = 1, **others: object) -> PricedLine:
    given: dict[str, object] = {"sku": None, "name": "thing", "title": None, **others}
    return PricedLine(1, None, unit_price=Decimal(price), quantity=quantity, **given)  # type: ignore[arg-type]


RULES = Rules(Decimal("0.0825"), Decimal("4.00"), Decimal("1.50"), Decimal("50.00"))


def test_a_known_order() -> None:
    priced = quote(
        [
            line("9.99", 3, weight=Decimal("0.40")),
            line("5.00", 1, taxable=False, requires_shipping=False),
        ],
        RULES,
        Discount("TEN", percent=Decimal(10)),
    )
    assert priced.subtotal == Decimal("34.97")
    assert priced.discount == Decimal("3.50")  # 3.497
    assert [one.discount for one in priced.lines] == [Decimal("3.00"), Decimal("0.50")]
    assert priced.tax == Decimal("2.23")  # (29.97 - 3.00) * .0825 = 2.225025
    assert priced.shipping == Decimal("7.00")  # 1.2 kg count as 2
    assert priced.total == Decimal("40.70")


def test_shipping_is_free_from_the_goods_after_discount() -> None:
    free = quote([line("50.00")], RULES)
    paid = quote([line("50.00")], RULES, Discount("ONE", amount=Decimal("0.01")))
    assert (free.shipping, paid.shipping) == (ZERO, Decimal("4.00"))
    assert quote([line("1.00", requires_shipping=False)], RULES).shipping == ZERO


def test_a_discount_never_exceeds_the_goods() -> None:
    priced = quote([line("3.00")], Rules(), Discount("MUCH", amount=Decimal("10.00")))
    assert (priced.discount, priced.total) == (Decimal("3.00"), ZERO)


def test_what_can_not_be_ordered_says_why() -> None:
    with pytest.raises(Invalid, match="cart is empty"):
        quote([], Rules())
    with pytest.raises(Invalid, match=r"needs goods for 20\.00; the cart holds goods for 19\.99"):
        quote([line("19.99")], Rules(), Discount("BIG", percent=Decimal(5), minimum=Decimal(20)))
    with pytest.raises(Invalid, match=r"most that one order can hold is 99999999\.99"):
        quote([line("999999.99", 999)], Rules())


lines = st.lists(
    st.builds(
        PricedLine,
        product_id=st.just(1),
        variant_id=st.none(),
        sku=st.none(),
        name=st.just("thing"),
        title=st.none(),
        unit_price=st.decimals(min_value=0, max_value=Decimal("9999.99"), places=2),
        quantity=st.integers(1, 99),
        weight=st.decimals(min_value=0, max_value=50, places=2),
        taxable=st.booleans(),
        requires_shipping=st.booleans(),
    ),
    min_size=1,
    max_size=20,
)
rules = st.builds(
    Rules,
    tax_rate=st.decimals(min_value=0, max_value=Decimal("0.5"), places=4),
    shipping_flat=st.decimals(min_value=0, max_value=100, places=2),
    shipping_per_kg=st.decimals(min_value=0, max_value=10, places=2),
    free_shipping_from=st.none() | st.decimals(min_value=0, max_value=5000, places=2),
)
discounts = st.none() | st.builds(
    Discount,
    code=st.just("CODE"),
    percent=st.none() | st.decimals(min_value=0, max_value=100, places=2),
    amount=st.none() | st.decimals(min_value=0, max_value=5000, places=2),
)


@given(lines, rules, discounts)
def test_the_sums_of_any_order_add_up(given_lines: list[PricedLine], by: Rules, off: Discount | None) -> None:
    priced = quote(given_lines, by, off)
    assert priced.subtotal - priced.discount + priced.tax + priced.shipping == priced.total
    assert sum(one.discount for one in priced.lines) == priced.discount
    assert sum(one.net for one in priced.lines) == priced.subtotal - priced.discount
    assert all(ZERO <= one.discount <= one.line.gross for one in priced.lines)
    taxed = sum((one.net for one in priced.lines if one.line.taxable), ZERO)
    assert priced.tax == cents(taxed * by.tax_rate)
    for sum_of_money in (priced.subtotal, priced.discount, priced.tax, priced.shipping, priced.total):
        assert sum_of_money >= 0
        assert sum_of_money == cents(sum_of_money)


@given(lines, rules)
def test_the_order_of_lines_changes_no_sum(given_lines: list[PricedLine], by: Rules) -> None:
    off = Discount("CODE", percent=Decimal("12.5"))
    there, back = quote(given_lines, by, off), quote(given_lines[::-1], by, off)
    assert (there.subtotal, there.discount, there.shipping) == (back.subtotal, back.discount, back.shipping)
