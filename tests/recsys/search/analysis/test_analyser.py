"""The analyser: whatever a text asks for is stored of it, in each spelling that people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.search.analysis.analyser import (
    LONGEST_TEXT,
    MOST_WORDS,
    Analyser,
    analyser,
    name_token,
    normal,
    sku_token,
    words_of,
)
from recsys.search.analysis.expression import AllOf, AnyOf, Expression, Token
from recsys.search.analysis.query_terms import parsed
from recsys.search.queries import ProductQuery

ENGLISH = analyser("english")
GERMAN = analyser("german")
# letters and symbols of every alphabet, and what product names are made of
PIECES = st.sampled_from(
    [
        *"abzAZ019.-/+&'’\"%#,:×½™_()* ßéİł龙井ラー한ชีشأ🧦\u0301",
        *(" ", "ml", "GB", "1.5", "C++", ".NET", "AC/DC", "L'", "the "),
    ]
)
TEXT = st.one_of(st.text(st.characters(), max_size=60), st.lists(PIECES, max_size=25).map("".join))


def holds(stored: set[str], asked: Expression) -> bool:
    """Whether a document with these tokens has what is asked for."""
    if isinstance(asked, Token):
        return any(one.startswith(asked.text) for one in stored) if asked.prefix else asked.text in stored
    if isinstance(asked, AllOf):
        return all(holds(stored, part) for part in asked.parts)
    assert isinstance(asked, AnyOf)
    return any(holds(stored, part) for part in asked.parts)


def found(used: Analyser, document: str, typed: str) -> bool:
    """Whether a document of this text is found by what was typed."""
    stored = {token for term in used.of(document) for token in term.stored}
    terms = parsed(used, ProductQuery(words=words_of(typed)))
    return bool(terms) and all(holds(stored, term.asked) for term in terms)


@given(TEXT, st.sampled_from([ENGLISH, GERMAN, analyser("simple")]))
def test_a_text_is_found_by_itself_and_by_each_of_its_words(text: str, used: Analyser) -> None:
    assert found(used, text, text) or not words_of(text)
    for word in text.split():
        assert found(used, text, word) or not words_of(word), word
        # a product's name is stored before the reader's keyboard is known: capitals change nothing
        assert normal(word) == normal(word.upper()) or not word.isascii()


@given(TEXT)
def test_words_are_few_storable_and_their_own_normal_form(text: str) -> None:
    words = words_of(text)
    assert len(words) <= MOST_WORDS
    for word in words:
        assert not any(letter.isspace() for letter in word)
        word.encode()
        assert "\x00" not in word
    once = normal(text)
    if len(once) <= LONGEST_TEXT:
        assert normal(once) == once


@given(TEXT)
def test_tokens_are_short_and_need_no_more_than_quotes(text: str) -> None:
    for term in ENGLISH.of(text):
        for token in term.stored:
            assert 0 < len(token) <= 64
            assert not set(token) & set("\\ \x00\t\n")
            # so that neither stands for a whole name or SKU
            assert token[0] not in "=:"


@pytest.mark.parametrize(
    ("document", "typed"),
    [
        ("iPhone 15 Pro 256GB case", "256 gb"),
        ("SSD 256 GB", "256gb"),
        ("Mineral Water 1.5l", "1.5 l"),
        ("Mineral Water 1.5 l", "1,5 Liter"),
        ("Sally Hansen, .4 oz", "0.4oz"),
        ('TV 42" 4K', "tv 42 inch"),
        ("Cookware, 10 in", '10"'),
        ("Knives set 6-piece", "6 pieces"),
        ("100% Cotton", "100 %"),
        ("1,000 g Flour", "1000g"),
        ("AC/DC T-shirt", "ac dc tshirt"),
        ("AC DC Shirt", "AC/DC"),
        ("Wi-Fi 6 Router", "wifi"),
        ("node.js in Action", "nodejs"),
        ("Chanel No.5", "No 5"),
        ("Chanel No. 5", "no.5"),
        ("H&M Jacket", "H & M"),
        ("H & M Jacket", "h&m"),
        ("Children's Shoes", "children shoes"),
        ("Childrens Shoes", "children’s shoe"),
        ("L'Oréal Shampoo 2in1", "loreal 2 in 1"),
        ("Firmware v2.0", "V2.0"),
        ("Screw 1/2 inch", "1⁄2"),
        ("1½ cups", "1/2"),
        ("M8×20 screw", "m8x20"),
        ("Café au lait", "cafe"),
        ("Cafe Royal", "café"),
        ("Straßenkarte Köln", "strassenkarte koln"),
        ("Straßenkarte Köln", "koeln"),
        ("Käse", "kaese"),
        ("Kaese", "käse"),
        ("Żółty łoś", "zolty los"),
        ("Žluťoučký kůň", "zlutoucky kun"),
        ("İstanbul ışık", "istanbul isik"),
        ("شاي أخضر", "اخضر"),
        ("龙井绿茶 礼盒", "龙井"),
        ("抹茶ラテ200g", "ラテ 200 g"),
        ("한국 김치", "김치"),
        ("ชาเขียวมะลิ", "เขียว"),
        ("Nescafé™ Gold", "nescafe"),
        ("Ｆｕｌｌｗｉｄｔｈ", "fullwidth"),
        ("Chocolate bars", "chocolates bar"),
        ("The The CD", "the the"),
    ],
)
def test_spellings_of_the_same_are_found(document: str, typed: str) -> None:
    assert found(ENGLISH, document, typed)


@pytest.mark.parametrize(
    ("document", "typed"),
    [
        ("Mineral Water 0.5L", "1.5l"),
        ("Screw 12 mm", "1/2"),
        ("Vitamin C", "C++"),
        ("Fishing net", ".NET"),
        ("T-Shirt XL", "XXL"),
        ("绿茶", "茶绿"),
        ("Pack of 12", "1.2"),
    ],
)
def test_what_differs_is_not_found(document: str, typed: str) -> None:
    assert not found(ENGLISH, document, typed)


@pytest.mark.parametrize("typed", ["", " ", "*", "🧦", "-- / +", "\ud800", "\x00", "™", "…"])
def test_symbols_alone_are_no_words(typed: str) -> None:
    assert words_of(typed) == ()


def test_whole_names_and_skus_have_one_token_in_all_spellings() -> None:
    for spellings in (
        ("AB-1234-XL", "ab1234xl", "AB 1234 XL", "ab.1234/xl"),
        ("24-MB01", "24 mb01", "24MB-01"),
    ):
        assert len({sku_token(words_of(one)) for one in spellings}) == 1
    assert sku_token(words_of("AB-1234-XL")) != sku_token(words_of("AB-1234-S"))
    assert len({name_token(words_of(one)) for one in ("Café 1.5 l", "cafe 1,5L", "CAFÉ, 1.50 litres")}) == 1
    assert name_token(words_of("Water 1.5l")) != name_token(words_of("Water 15 l"))


def test_stop_words_count_only_alone() -> None:
    def asked(typed: str) -> list[str]:
        return [term.text for term in parsed(ENGLISH, ProductQuery(words=words_of(typed)))]

    assert asked("the teas") == ["teas"]
    assert asked("the") == ["the"]
    assert asked("a shirt s") == ["shirt", "s"]
    assert [term.text for term in GERMAN.of("der Tee") if not term.stop] == ["tee"]


def test_a_language_without_stems_is_refused() -> None:
    with pytest.raises(ValueError, match="no stemmer for klingon"):
        analyser("klingon")
