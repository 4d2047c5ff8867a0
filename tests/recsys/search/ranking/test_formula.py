"""The formula of the order: what PostgreSQL works out is what an evaluation works out."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.queries import ProductQuery
from recsys.search.ranking import formula as ranking
from recsys.search.tables import ProductSearch
from recsys.settings import SearchSettings
from tests.recsys.search.catalogue import fill


def test_the_index_raises_what_the_text_is_worth_as_the_formula_does(session: Session) -> None:
    fill(session)
    settings = SearchSettings(popularity_weight=0.7)
    PostgresIndex(settings).reindex(session)
    least_last = select(ProductSearch.product_id).order_by(ProductSearch.product_id.desc())
    for place, one in enumerate(session.scalars(least_last).all()):
        session.execute(
            update(ProductSearch).where(ProductSearch.product_id == one).values(popularity=1.3 * place)
        )
    rows = session.execute(select(ProductSearch.product_id, ProductSearch.popularity)).all()
    popularity = {row.product_id: row.popularity for row in rows}
    assert max(popularity.values()) > ranking.FAMOUS  # so that more than the most counts as that
    query = ProductQuery(words=("chocolate",))
    plain = PostgresIndex(settings.model_copy(update={"popularity_weight": 0.0}))
    text = {hit.product_id: float(hit.key) for hit in plain.search_products(session, query).hits}
    found = PostgresIndex(settings).search_products(session, query).hits
    assert len(found) == 4
    for hit in found:
        worth = ranking.raised(text[hit.product_id], ranking.fame(popularity[hit.product_id]), 0.7)
        assert hit.key == pytest.approx(worth, rel=1e-6)
    assert [hit.product_id for hit in found] != sorted(text, key=lambda one: -text[one])


@pytest.mark.parametrize("namesakes", [1, 5, 15, 20])
def test_products_of_the_whole_name_are_on_the_first_page_whatever_is_popular(
    session: Session, namesakes: int
) -> None:
    names = ["Whole milk"] * namesakes + [f"Milk whole {place}" for place in range(60)]
    rows = [Product(name=name, slug=f"m{place}", price=Decimal(1)) for place, name in enumerate(names)]
    session.add_all(rows)
    session.flush()
    index = PostgresIndex(SearchSettings(popularity_weight=10.0))
    index.reindex(session)
    own = {row.id for row in rows[:namesakes]}
    for place, row in enumerate(rows[namesakes:]):
        popular = update(ProductSearch).where(ProductSearch.product_id == row.id)
        session.execute(popular.values(popularity=3 + place / 20))
    query = ProductQuery(words=("whole", "milk"), limit=20)
    page = [hit.product_id for hit in index.search_products(session, query).hits]
    assert own <= set(page)
    # what is popular stays before it, as far as there is room
    assert not own & set(page[: min(9, 20 - namesakes)])
    # and the next page goes on where this one ended
    whole = [hit.product_id for hit in index.search_products(session, replace(query, limit=100)).hits]
    last = index.search_products(session, query).hits[-1]
    rest = index.search_products(session, replace(query, limit=100, after=(last.key, last.product_id)))
    assert page + [hit.product_id for hit in rest.hits] == whole
    assert len(set(whole)) == len(rows)


@given(st.integers(1, 100_000), st.data())
def test_a_better_place_is_liked_more(products: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(1, products))
    better = data.draw(st.integers(0, worse - 1))
    assert 0.0 <= ranking.liking(worse, products) <= ranking.liking(better, products) <= 1.0
    assert ranking.liking(0, products) == 1.0
    if worse < min(products, ranking.RANKED):
        assert ranking.liking(worse, products) < ranking.liking(better, products)


def test_places_count_by_their_logarithm() -> None:
    assert ranking.liking(math.isqrt(ranking.RANKED + 1) - 1, 10**6) == pytest.approx(0.5, abs=0.01)
    assert ranking.liking(ranking.RANKED, 10**6) == 0.0
