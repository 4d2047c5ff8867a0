"""What every index promises, on every index that there is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product, ProductVariant
from recsys.domains.users.tables import User
from recsys.search.analysis.analyser import words_of
from recsys.search.backends.base import SearchIndex
from recsys.search.queries import (
    FACETS,
    SORTS,
    GeoArea,
    ProductQuery,
    SearchFilters,
    SearchResult,
    Sort,
    UserFilters,
    UserQuery,
)
from tests.recsys.search.catalogue import Catalogue


def find(index: SearchIndex, session: Session, text: str = "", **others: object) -> SearchResult:
    filters = others.pop("filters", SearchFilters())
    return index.search_products(
        session,
        ProductQuery(words=words_of(text), filters=filters, **others),  # type: ignore[arg-type]
    )


def ids(found: SearchResult) -> list[int]:
    return [hit.product_id for hit in found.hits]


def test_all_words_are_needed_or_one_is_enough(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    found = find(index, session, "chocolate bar")
    assert set(catalogue.names(ids(found))) == {"Dark chocolate bar", "Milk chocolate bar"}
    assert found.total == 2
    assert found.did_you_mean is None
    wider = find(index, session, "chocolate bar", any_word=True)
    assert set(ids(found)) < set(ids(wider))
    assert wider.total == 4


def test_a_name_says_more_than_a_description(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    found = catalogue.names(ids(find(index, session, "chocolate")))
    assert found[-1] == "Desk lamp"
    assert len(found) == 4
    assert catalogue.names(ids(find(index, session, "green tea")))[0] == "Green tea"


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("Cocoa Works", {"Dark chocolate bar", "Milk chocolate bar", "Hot chocolate"}),
        ("gift", {"Tea pot"}),
        ("Sweets", {"Dark chocolate bar", "Milk chocolate bar"}),
    ],
)
def test_brands_tags_and_categories_are_searched(
    session: Session, index: SearchIndex, catalogue: Catalogue, field: str, names: set[str]
) -> None:
    found = find(index, session, field)
    assert set(catalogue.names(ids(found))) == names
    assert found.total == len(names)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("lamps", {"Desk lamp"}),
        ("the teas", {"Green tea", "Tea pot"}),
        ("home", {"Tea pot", "Desk lamp", "Größe Zwölf"}),
        ("food chocolate", {"Dark chocolate bar", "Milk chocolate bar", "Hot chocolate"}),
        ("the", set()),
    ],
)
def test_forms_of_words_and_categories_above_are_found(
    session: Session, index: SearchIndex, catalogue: Catalogue, typed: str, names: set[str]
) -> None:
    found = find(index, session, typed)
    assert set(catalogue.names(ids(found))) == names
    assert (found.total, found.did_you_mean) == (len(names), None)


@pytest.mark.parametrize(
    ("typed", "meant", "name"),
    [
        ("choclate bar", "chocolate bar", "Dark chocolate bar"),
        ("hot chcoolate", "hot chocolate", "Hot chocolate"),
        ("lmap", "lamp", "Desk lamp"),
        ("größs", "größe", "Größe Zwölf"),
    ],
)
def test_misspelt_words_are_found_and_named(
    session: Session, index: SearchIndex, catalogue: Catalogue, typed: str, meant: str, name: str
) -> None:
    found = find(index, session, typed)
    assert name in catalogue.names(ids(found))
    assert found.did_you_mean == meant
    assert find(index, session, typed, fuzzy=False).total == 0


def test_nothing_is_found_for_what_is_not_there(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    found = find(index, session, "bicycle pump")
    assert (found.total, ids(found), found.did_you_mean) == (0, [], None)


def test_phrases_of_a_group_find_what_the_others_find(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    groups = (("fizzy cocoa", "hot chocolate"), ("lantern", "desk lamp", "licht"))
    assert find(index, session, "lantern", fuzzy=False).total == 0
    for typed, name in (
        ("fizzy cocoa", "Hot chocolate"),
        ("fizzy cocoas powder", "Hot chocolate"),
        ("LANTERN", "Desk lamp"),
        ("warm licht", "Desk lamp"),
        ("desk lamps", "Desk lamp"),
    ):
        found = find(index, session, typed, synonyms=groups)
        assert (catalogue.names(ids(found)), found.did_you_mean) == ([name], None), typed
    # half of a phrase stands for itself
    assert find(index, session, "fizzy", synonyms=groups, fuzzy=False).total == 0
    # where no phrase of the group is sold, its words are looked for as they are
    unsold = (("choclate bar", "candy stick"),)
    assert find(index, session, "choclate bar", synonyms=unsold).did_you_mean == "chocolate bar"


def test_filters_mean_what_they_say(session: Session, index: SearchIndex, catalogue: Catalogue) -> None:
    food = tuple(catalogue.categories[name] for name in ("Food", "Sweets", "Drinks"))
    session.execute(update(Product).where(Product.name == "Desk lamp").values(status="draft"))
    index.index_products(session, [catalogue.products["Desk lamp"]])
    for filters, names in (
        (SearchFilters(categories=food, brand=catalogue.brands["Leaf & Sons"]), {"Green tea"}),
        (SearchFilters(tags=("vegan", "winter")), {"Green tea"}),
        (
            SearchFilters(min_price=Decimal("4.00"), max_price=Decimal("9.99")),
            {"Hot chocolate", "Green tea", "Größe Zwölf"},
        ),
        (SearchFilters(min_rating=Decimal("4.3")), {"Dark chocolate bar", "Green tea", "Tea pot"}),
        (SearchFilters(categories=food, in_stock=True), {"Dark chocolate bar", "Hot chocolate", "Green tea"}),
        (SearchFilters(featured=True), {"Tea pot"}),
        (SearchFilters(status="draft"), {"Desk lamp"}),
        (SearchFilters(categories=()), set()),
    ):
        found = find(index, session, filters=filters)
        assert set(catalogue.names(ids(found))) == names, filters
        assert found.total == len(names)
    assert find(index, session, filters=SearchFilters(status=None)).total == 7
    assert find(index, session, "chocolate", filters=SearchFilters(max_price=Decimal(3))).total == 1


def test_facets_count_what_was_found(session: Session, index: SearchIndex, catalogue: Catalogue) -> None:
    found = find(index, session, "chocolate", facets=FACETS, limit=1)
    counts = {name: {one.value: one.count for one in buckets} for name, buckets in found.facets.items()}
    at = {name: str(number) for name, number in (catalogue.categories | catalogue.brands).items()}
    assert counts["category"] == {at["Sweets"]: 2, at["Drinks"]: 1, at["Light"]: 1}
    assert counts["brand"] == {at["Cocoa Works"]: 3, at["Bright"]: 1}
    assert counts["tags"] == {"snack": 2, "vegan": 1, "winter": 1}
    assert counts["price"] == {"0": 2, "5": 1, "100": 1}
    assert counts["rating"] == {"1": 3, "2": 3, "3": 2, "4": 1}
    assert counts["in_stock"] == {"true": 3}
    assert [one.count for one in found.facets["category"]] == [2, 1, 1]
    assert (found.total, len(found.hits)) == (4, 1)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("newest", "Größe Zwölf"),
        ("name", "Dark chocolate bar"),
        ("price", "Milk chocolate bar"),
        ("-price", "Desk lamp"),
        ("rating", "Green tea"),
    ],
)
def test_orders_begin_where_they_should(
    session: Session, index: SearchIndex, catalogue: Catalogue, sort: Sort, first: str
) -> None:
    assert catalogue.names(ids(find(index, session, sort=sort)))[0] == first


@pytest.mark.parametrize(
    ("sort", "text"), [*((sort, "chocolate") for sort in SORTS), ("relevance", ""), ("rating", "")]
)
def test_pages_neither_repeat_nor_skip(
    session: Session, index: SearchIndex, catalogue: Catalogue, sort: Sort, text: str
) -> None:
    whole = ids(find(index, session, text, sort=sort, limit=50))
    paged: list[int] = []
    after = None
    for _ in range(len(whole) + 1):
        page = find(index, session, text, sort=sort, limit=2, after=after)
        assert page.total == len(whole)
        if not page.hits:
            break
        paged += ids(page)
        after = (page.hits[-1].key, page.hits[-1].product_id)
    assert paged == whole
    assert len(set(whole)) == len(whole)


def test_what_matched_is_marked_and_safe(session: Session, index: SearchIndex, catalogue: Catalogue) -> None:
    session.execute(
        update(Product)
        .where(Product.name == "Hot chocolate")
        .values(name="Hot chocolate <b> \ue000&\ue001", description="<script>chocolate</script>")
    )
    index.index_products(session, [catalogue.products["Hot chocolate"]])
    found = find(index, session, "hot chocolate", highlight=True)
    (hit,) = found.hits
    assert "<mark>chocolate</mark>" in hit.highlights["name"]
    for text in hit.highlights.values():
        plain = text.replace("<mark>", "").replace("</mark>", "")
        assert "<" not in plain
        assert 0 < text.count("<mark>") == text.count("</mark>")


def test_suggestions_finish_what_is_typed(session: Session, index: SearchIndex, catalogue: Catalogue) -> None:
    def names(typed: str) -> set[str]:
        return {name for name, _ in index.suggest(session, words_of(typed), 10)}

    assert names("choc") == {"Dark chocolate bar", "Milk chocolate bar", "Hot chocolate"}
    assert names("dark ch") == {"Dark chocolate bar"}
    assert names("xyz") == set()
    session.execute(update(Product).where(Product.name == "Hot chocolate").values(status="draft"))
    index.index_products(session, [catalogue.products["Hot chocolate"]])
    assert names("choc") == {"Dark chocolate bar", "Milk chocolate bar"}


def test_changes_reach_the_index_and_deleted_products_leave_it(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    lamp, tea = catalogue.products["Desk lamp"], catalogue.products["Green tea"]
    session.execute(
        update(Product).where(Product.id == lamp).values(name="Reading lantern", price=Decimal(1))
    )
    session.execute(delete(Product).where(Product.id == tea))
    index.index_products(session, [lamp, tea])
    assert ids(find(index, session, "lantern", filters=SearchFilters(max_price=Decimal(1)))) == [lamp]
    assert tea not in ids(find(index, session, limit=50))
    index.delete_products(session, [lamp])
    assert find(index, session, "lantern").total == 0


def test_verify_counts_differences_and_repairs_them(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    clean = index.verify(session)
    assert (clean["products"].checked, clean["products"].total, clean["users"].total) == (7, 0, 0)
    lamp, tea = catalogue.products["Desk lamp"], catalogue.products["Green tea"]
    index.delete_products(session, [tea])
    session.execute(
        update(ProductVariant).where(ProductVariant.product_id == lamp).values(inventory_quantity=77)
    )
    session.execute(update(User).where(User.username == "ada").values(full_name="Ada King"))
    session.flush()
    differences = index.verify(session, repair=True)
    assert (
        differences["products"].missing,
        differences["products"].stale,
        differences["products"].superfluous,
    ) == (1, 1, 0)
    assert set(differences["products"].examples) == {lamp, tea}
    assert differences["users"].stale == 1
    assert index.verify(session)["products"].total == index.verify(session)["users"].total == 0
    assert ids(find(index, session, "green tea"))[0] == tea


def test_a_reindex_brings_back_what_was_lost(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    index.delete_products(session, list(catalogue.products.values()))
    assert find(index, session).total == index.count_products(session) == 0
    index.reindex(session)
    assert find(index, session).total == index.count_products(session) == 7


def test_nothing_is_missing_while_a_reindex_runs_and_news_survive_it(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    lamp = catalogue.products["Desk lamp"]
    totals = []

    def meanwhile(done: int, of: int) -> None:
        totals.append(find(index, session).total)
        session.execute(update(Product).where(Product.id == lamp).values(price=Decimal("77.00")))
        index.index_products(session, [lamp])

    index.reindex(session, meanwhile)
    assert totals
    assert set(totals) == {7}
    assert ids(find(index, session, filters=SearchFilters(min_price=Decimal(77)))) == [lamp]
    assert index.verify(session)["products"].total == 0


def test_users_are_found_by_name_place_and_counts(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    def users(text: str = "", **filters: object) -> list[str]:
        query = UserQuery(words=words_of(text), filters=UserFilters(**filters))  # type: ignore[arg-type]
        found = index.search_users(session, query)
        assert found.total == len(found.hits)
        by_id = {number: name for name, number in catalogue.users.items()}
        return [by_id[hit.user_id] for hit in found.hits]

    assert users("lovelace") == ["ada"]
    assert users("grac") == ["grace"]
    assert users("hoper") == ["grace"]
    assert users("moths") == ["grace"]
    assert set(users(min_followers=2)) == {"ada", "grace"}
    assert users(near=GeoArea(51.0, 0.0, 200)) == ["ada"]
    assert users(near=GeoArea(51.0, 0.0, 50)) == []
    assert set(users()) == set(catalogue.users)


def test_the_nearest_come_first_with_their_distance(
    session: Session, index: SearchIndex, catalogue: Catalogue
) -> None:
    berlin = UserFilters(near=GeoArea(52.52, 13.405))
    found = index.search_users(session, UserQuery(filters=berlin, sort="distance"))
    assert [hit.user_id for hit in found.hits] == [catalogue.users[name] for name in ("emmy", "ada", "grace")]
    # great circles: 365 km, 932 km, 6385 km
    assert [hit.kilometres for hit in found.hits] == pytest.approx([365, 932, 6385], rel=0.01)
    last = found.hits[0]
    rest = index.search_users(
        session, UserQuery(filters=berlin, sort="distance", after=(last.key, last.user_id))
    )
    assert rest.hits == found.hits[1:]
