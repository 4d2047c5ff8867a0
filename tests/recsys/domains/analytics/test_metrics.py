"""The figures of each day equal a plain count over the tables, in every time zone and however often made."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from recsys.domains.analytics.calendar import Days
from recsys.domains.analytics.metrics import write_products, write_sales
from recsys.domains.analytics.tables import AnalyticsSession, UserEvent
from recsys.domains.orders.tables import Order, OrderItem
from recsys.domains.products.tables import ProductView
from recsys.errors import Conflict

# the days around two changes of the clocks, in zones that make them at different moments
BEGIN = datetime(2026, 3, 28, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "Pacific/Auckland", "America/New_York")
USERS, PRODUCTS = (901, 902), (901, 902)
CENT = Decimal("0.01")

moments = st.integers(0, 4 * 96 - 1).map(lambda quarter: BEGIN + timedelta(minutes=15 * quarter))
who = st.sampled_from([(901, None), (902, None), (None, "s1"), (None, "s2"), (901, "s1")])


@dataclass(frozen=True)
class Sold:
    user_id: int | None
    email: str | None
    financial: str
    status: str
    currency: str | None
    placed: datetime
    paid: datetime | None
    lines: tuple[tuple[int, int, int, int], ...]

    @property
    def counts(self) -> bool:
        paid = self.financial in ("paid", "partially_refunded", "refunded")
        return paid and self.status != "cancelled" and self.currency in (None, "USD")

    @property
    def moment(self) -> datetime:
        return self.paid or self.placed

    @property
    def total(self) -> Decimal:
        return sum((Decimal(cents * pieces - off) / 100 for _, pieces, cents, off in self.lines), Decimal(0))


orders = st.builds(
    Sold,
    st.sampled_from([901, 902, None, None]),
    st.sampled_from(["A@example.org", "a@example.org", "b@example.org", None]),
    st.sampled_from(["paid", "paid", "paid", "paid", "refunded", "partially_refunded", "pending"]),
    st.sampled_from(["processing", "delivered", "delivered", "delivered", "cancelled"]),
    st.sampled_from(["USD", "USD", "USD", "EUR", None]),
    moments,
    st.none() | moments,
    st.lists(
        st.tuples(st.sampled_from(PRODUCTS), st.integers(1, 3), st.integers(1, 99_999), st.integers(0, 1)),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
shops = st.fixed_dictionaries(
    {
        "orders": st.lists(orders, max_size=12),
        "views": st.lists(st.tuples(who, moments, st.sampled_from(PRODUCTS)), max_size=12),
        "carts": st.lists(st.tuples(moments, st.sampled_from(PRODUCTS), st.booleans()), max_size=8),
        "visits": st.lists(st.tuples(moments, st.booleans()), max_size=12),
        "zone": st.sampled_from(ZONES),
    }
)


def fill(session: Session, shop: dict[str, Any]) -> None:
    for number, one in enumerate(shop["orders"]):
        row = {
            "order_number": f"T-{number}", "user_id": one.user_id, "email": one.email, "status": one.status,
            "financial_status": one.financial, "currency": one.currency, "subtotal_price": one.total,
            "total_price": one.total, "processed_at": one.paid, "created_at": one.placed,
        }  # fmt: skip
        order_id = session.scalars(insert(Order).returning(Order.id), row).one()
        lines = [
            {"order_id": order_id, "product_id": product, "name": "P", "quantity": pieces,
             "price": Decimal(cents) / 100, "total_discount": Decimal(off) / 100}
            for product, pieces, cents, off in one.lines
        ]  # fmt: skip
        session.execute(insert(OrderItem), lines)
    views = [
        {"product_id": product, "user_id": user, "session_id": visit, "viewed_at": moment}
        for (user, visit), moment, product in shop["views"]
    ]
    carts = [
        {"event_type": "add_to_cart", "event_category": "shop" if own else None, "timestamp": moment,
         "properties": {"product_id": product if own else "no number"}}
        for moment, product, own in shop["carts"]
    ]  # fmt: skip
    visits = [
        {"session_id": f"v{number}", "start_time": moment, "converted": converted}
        for number, (moment, converted) in enumerate(shop["visits"])
    ]
    for table, rows in ((ProductView, views), (UserEvent, carts), (AnalyticsSession, visits)):
        if rows:
            session.execute(insert(table), rows)


def share(part: int, whole: int) -> Decimal:
    if not whole:
        return Decimal(0)
    return min(Decimal(1), (Decimal(part) / whole).quantize(Decimal("0.0001"), ROUND_HALF_UP))


def sales_by_hand(shop: dict[str, Any], days: Days) -> list[tuple[Any, ...]]:
    sold = [one for one in shop["orders"] if one.counts]
    names = {id(one): one.user_id or (one.email or f"order {id(one)}").lower() for one in sold}
    found = []
    for day in days.dates:
        here = [one for one in sold if one.moment.astimezone(days.zone).date() == day]
        before = {names[id(one)] for one in sold if one.moment.astimezone(days.zone).date() < day}
        customers = {names[id(one)] for one in here}
        visits = [converted for at, converted in shop["visits"] if at.astimezone(days.zone).date() == day]
        total = sum((one.total for one in here), Decimal(0))
        average = (total / len(here)).quantize(CENT, ROUND_HALF_UP) if here else Decimal(0)
        rate = share(sum(visits), len(visits))
        found.append((day, total, len(here), average, len(customers), len(customers & before), rate))
    return found


def products_by_hand(shop: dict[str, Any], days: Days) -> list[tuple[Any, ...]]:
    def day_of(moment: datetime) -> date:
        return moment.astimezone(days.zone).date()

    views: dict[tuple[date, int], list[Any]] = defaultdict(list)
    carts: dict[tuple[date, int], int] = defaultdict(int)
    bought: dict[tuple[date, int], set[int]] = defaultdict(set)
    revenue: dict[tuple[date, int], Decimal] = defaultdict(Decimal)
    for (user, visit), moment, product in shop["views"]:
        views[day_of(moment), product].append(user or visit)
    for moment, product, own in shop["carts"]:
        if own:
            carts[day_of(moment), product] += 1
    for one in shop["orders"]:
        for product, pieces, cents, off in one.lines if one.counts else ():
            bought[day_of(one.moment), product].add(id(one))
            revenue[day_of(one.moment), product] += Decimal(cents * pieces - off) / 100
    keys = sorted(key for key in {*views, *carts, *bought} if days.first <= key[0] <= days.last)
    return [
        (*key, len(views[key]), len(set(views[key])), carts[key], len(bought[key]), revenue[key],
         share(len(bought[key]), len(set(views[key]))))
        for key in keys
    ]  # fmt: skip


SALES = (
    "SELECT date, total_sales, order_count, average_order_value, unique_customers, returning_customers, "
    "conversion_rate FROM analytics_db.sales_metrics ORDER BY date"
)
PRODUCT_DAYS = (
    "SELECT date, product_id, views, unique_views, add_to_carts, purchases, revenue, conversion_rate "
    "FROM analytics_db.product_metrics ORDER BY date, product_id"
)


def rows(session: Session, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(text(query))]


@pytest.fixture
def catalogue(session: Session) -> Session:
    """Two users and two products."""
    session.execute(
        text(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i, 'u' || i, 'U', 'x' FROM generate_series(901, 902) i"
        )
    )
    session.execute(
        text(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P', 'p' || i, 1 FROM generate_series(901, 902) i"
        )
    )
    return session


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shops, shops)
def test_figures_are_a_plain_count_also_after_late_data(
    catalogue: Session, shop: dict[str, Any], late: dict[str, Any]
) -> None:
    session = catalogue
    zone = ZoneInfo(shop["zone"])
    days = Days(date(2026, 3, 28), date(2026, 3, 31), zone)
    with session.begin_nested() as example:
        fill(session, shop)
        first = write_sales(session, days), write_products(session, days)
        sales, products = rows(session, SALES), rows(session, PRODUCT_DAYS)
        assert sales == sales_by_hand(shop, days)
        assert products == products_by_hand(shop, days)
        assert [one.rows for one in first] == [4, len(products)]

        # a second run changes nothing
        again = write_sales(session, days), write_products(session, days)
        assert [(one.changed, one.dropped) for one in again] == [(0, 0), (0, 0)]
        assert (rows(session, SALES), rows(session, PRODUCT_DAYS)) == (sales, products)

        # what came late, and what went, is counted by a run of each day alone as by one of all
        session.execute(text("DELETE FROM orders_db.orders"))
        session.execute(text("DELETE FROM analytics_db.user_sessions"))
        fill(session, late)
        whole = {**late, "views": shop["views"] + late["views"], "carts": shop["carts"] + late["carts"]}
        for piece in days.pieces(1):
            write_sales(session, piece)
            write_products(session, piece)
        assert rows(session, SALES) == sales_by_hand(whole, days)
        assert rows(session, PRODUCT_DAYS) == products_by_hand(whole, days)
        example.rollback()


@pytest.mark.parametrize(
    ("zone", "first_day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_a_day_of_changed_clocks_counts_each_of_its_hours(
    catalogue: Session, zone: str, first_day: date, hours: int
) -> None:
    session, days = catalogue, Days(first_day, first_day, ZoneInfo(zone))
    views = [
        {"product_id": 901, "session_id": str(hour), "viewed_at": days.begin + timedelta(hours=hour)}
        for hour in range(-3, hours + 3)
    ]
    session.execute(insert(ProductView), views)
    write_products(session, days)
    assert rows(session, "SELECT views, date FROM analytics_db.product_metrics") == [(hours, first_day)]


def test_a_sum_that_the_table_cannot_hold_is_one_clear_line(catalogue: Session) -> None:
    session, days = catalogue, Days(date(2026, 3, 28), date(2026, 3, 28), ZoneInfo("UTC"))
    most = Sold(901, None, "paid", "delivered", "USD", BEGIN, None, ((901, 2, 9_999_999_999, 0),))
    with session.begin_nested() as example:
        session.execute(
            text(
                "INSERT INTO orders_db.orders (id, order_number, subtotal_price, total_price, "
                "financial_status, created_at) VALUES (901, 'T', 1, 1, 'paid', :at)"
            ),
            {"at": most.placed},
        )
        session.execute(
            text(
                "INSERT INTO orders_db.order_items (order_id, product_id, name, quantity, price) "
                "VALUES (901, 901, 'P', 2, 99999999.99)"
            )
        )
        with pytest.raises(Conflict, match="2026-03-28"):
            write_products(session, days)
        example.rollback()
