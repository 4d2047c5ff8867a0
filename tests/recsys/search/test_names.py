"""Every product is found by its own name, SKU and each word of the name, on every index that there is."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Product, ProductVariant
from recsys.search.analysis.analyser import LONGEST_TEXT, words_of
from recsys.search.backends.base import SearchIndex
from recsys.search.queries import ProductQuery, SearchResult
from tests.recsys.search.names import NAMES, SHOP

PAGE = 20
numbers = itertools.count()


def store(session: Session, index: SearchIndex, products: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Their ids by SKU."""
    rows = [
        Product(name=name, sku=sku, slug=f"n-{next(numbers)}-{secrets.token_hex(4)}", price=Decimal(1))
        for sku, name in products
    ]
    session.add_all(rows)
    session.flush()
    index.index_products(session, [row.id for row in rows])
    return {str(row.sku): row.id for row in rows}


def find(session: Session, index: SearchIndex, typed: str) -> SearchResult:
    return index.search_products(session, ProductQuery(words=words_of(typed), limit=PAGE))


def first(session: Session, index: SearchIndex, typed: str) -> int:
    return find(session, index, typed).hits[0].product_id


@pytest.fixture
def shop(session: Session, index: SearchIndex) -> dict[str, int]:
    index.reindex(session)
    return store(session, index, SHOP)


def test_each_product_is_found_by_its_name_its_sku_and_its_words(
    session: Session, index: SearchIndex, shop: dict[str, int]
) -> None:
    for sku, name in SHOP:
        for spelling in (name, name.upper(), sku, sku.lower(), sku.replace("-", ""), sku.replace("-", " ")):
            assert first(session, index, spelling) == shop[sku], spelling
        for word in name.split():
            if words_of(word):
                found = find(session, index, word)
                assert shop[sku] in [hit.product_id for hit in found.hits], word
                assert found.did_you_mean is None


@pytest.mark.parametrize(
    ("typed", "sku"),
    [
        ("mineral water 1,5 Liter", "WAT-15"),
        ("water 0.5 l", "WAT-05"),
        ("iphone 256 gb", "IPH"),
        ("acdc shirt", "ACDC"),
        ("nodejs", "C-SHARP"),
        ("wi fi router", "WIFI"),
        ("h & m", "HM"),
        ("no 5", "CHI"),
        ("loreal", "LOR"),
        ("koln", "DE-2"),
        ("koeln", "DE-2"),
        ("kaese", "DE-3"),
        ("zolty", "PL-1"),
        ("Spülmaschine", "DE-1"),
        ("strasse", "DE-2"),
        ("龙井", "TEA-CN"),
        ("ラテ", "TEA-JP"),
        ("김치", "KR-1"),
        ("เขียว", "TH-1"),
        ("42 inch", "TV-42"),
        ("6 pieces", "HM"),
    ],
)
def test_what_people_type_for_it_finds_the_product(
    session: Session, index: SearchIndex, shop: dict[str, int], typed: str, sku: str
) -> None:
    found = find(session, index, typed)
    assert found.hits[0].product_id == shop[sku]
    assert found.did_you_mean is None


@pytest.mark.parametrize("variant_sku", ["MUG-77/RED", "00123.456", "77RDL", "9 912 345", "ŻÓŁ-1"])
def test_a_variants_sku_finds_its_product_first(
    session: Session, index: SearchIndex, shop: dict[str, int], variant_sku: str
) -> None:
    mug = store(session, index, [("MUG-77", "Mug"), ("OTHER-1", f"Poster of {variant_sku}")])["MUG-77"]
    session.add_all(
        [
            ProductVariant(product_id=mug, sku=variant_sku, option1="Crimson", option2="350 ml"),
            ProductVariant(product_id=mug, sku="MUG-77", option1="Crimson"),
            ProductVariant(product_id=mug, sku=None, option1=None),
        ]
    )
    session.flush()
    index.index_products(session, [mug])
    for typed in (variant_sku, variant_sku.lower(), re.sub(r"[-/. ]", "", variant_sku), "mug77", "MUG 77"):
        assert first(session, index, typed) == mug, typed
    for typed in ("crimson mug", "mug 350ml"):
        assert [hit.product_id for hit in find(session, index, typed).hits] == [mug], typed
    # what is indexed by events is what a comparison with the database expects
    assert index.verify(session)["products"].total == 0


LONG = (
    "".join(chr(0x4E00 + place) for place in range(LONGEST_TEXT)),
    "龙井绿茶礼盒" * 42,
    " ".join(["é-é-é-é-é-é"] * 20),
    " ".join(["龙井绿茶礼盒装特级新茶叶"] * 19),
    "ชาเขียวมะลิ" * 23,
    "1.5l " * 50,
    "a/b/c/d/e/f " * 20,
)


@pytest.mark.parametrize("any_word", [False, True])
def test_the_longest_queries_are_answered(
    session: Session, index: SearchIndex, shop: dict[str, int], any_word: bool
) -> None:
    phrases = tuple(f"é-é-é-é é-ö-ü-é á-é-í-ó ü-ö-ä-é é-é {place}" for place in range(20))
    for typed in (*LONG, phrases[7]):
        words = words_of(typed[:LONGEST_TEXT])
        query = ProductQuery(words, synonyms=(phrases,), any_word=any_word, highlight=True)
        found = index.search_products(session, query)
        assert len(found.hits) == min(found.total, PAGE)
        index.suggest(session, words, 10)


def test_words_that_some_product_has_are_not_corrected(
    session: Session, index: SearchIndex, shop: dict[str, int]
) -> None:
    # no product has both: the service then asks for one of them
    assert find(session, index, "diet coke") == SearchResult(total=0, hits=[])
    wider = index.search_products(session, ProductQuery(words=("diet", "coke"), any_word=True))
    assert {hit.product_id for hit in wider.hits} == {shop["COKE"], shop["CAKE"]}
    assert wider.did_you_mean is None
    assert find(session, index, "diet cakw").did_you_mean == "diet cake"


def test_both_spellings_are_found_and_the_exact_one_comes_first(
    session: Session, index: SearchIndex, shop: dict[str, int]
) -> None:
    accents, plain = (
        [hit.product_id for hit in find(session, index, typed).hits] for typed in ("café", "cafe")
    )
    assert set(accents) == set(plain) == {shop["CAF-1"], shop["CAF-2"]}
    assert accents[0] == shop["CAF-1"]


def test_any_name_finds_its_product(session: Session, index: SearchIndex) -> None:
    index.reindex(session)

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    def check(names: list[str]) -> None:
        # none of the words of one example is another's: each name is on its first page
        mark = f"x{next(numbers)}"
        products = [(f"{mark}-{place}", f"{name} {mark}") for place, name in enumerate(names)]
        made = store(session, index, products)
        for sku, name in products:
            assert first(session, index, sku) == made[sku]
            assert made[sku] in [hit.product_id for hit in find(session, index, name).hits], name
            for word in name.split():
                if words_of(word):
                    typed = f"{word} {mark}"
                    assert made[sku] in [hit.product_id for hit in find(session, index, typed).hits], typed

    check()
