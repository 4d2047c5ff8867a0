"""The spellings of user_preferences: what is understood, what is counted as malformed or unknown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.build.product_reader import Taxonomy
from features.preference_parsing import affinities, price_range, worded

WORDS = {3: "Food", 5: "Food > Fresh Fruit", 8: "Toys"}
TAXONOMY = Taxonomy.of(WORDS, {3: ("Food", "food"), 5: ("Fresh Fruit", "fresh-fruit"), 8: ("Toys", "toys")})
FOOD, FRUIT, TOYS = 0, 1, 2
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "expected", "malformed", "unknown"),
    [
        ({"5": 0.5, "8": 1}, {FRUIT: 0.5, TOYS: 1.0}, 0, 0),
        ({"Fresh Fruit": 2}, {FRUIT: 2.0}, 0, 0),
        ({"fresh-fruit": 2}, {FRUIT: 2.0}, 0, 0),
        ({"food>FRESH fruit": 2, "TOYS": -1}, {FRUIT: 2.0, TOYS: -1.0}, 0, 0),
        (["Toys", "Food > Fresh Fruit", 3], {TOYS: 1.0, FRUIT: 1.0, FOOD: 1.0}, 0, 0),
        ({"5": 0.5, "Fresh Fruit": 0.9}, {FRUIT: 0.9}, 0, 0),
        ({"Toys": "0.25", "Food": True}, {TOYS: 0.25, FOOD: 1.0}, 0, 0),
        ({"Toys": 0}, {}, 0, 0),
        ({"Toys": "much", "Food": None, "5": [1]}, {}, 3, 0),
        ({"Toys": "1e999", "Food": 1e300}, {}, 2, 0),
        ({"Garden": 1, "99": 1}, {}, 0, 2),
        ([None, ["Toys"], 2.5, "Toys"], {TOYS: 1.0}, 0, 3),
        ({}, {}, 0, 0),
        ([], {}, 0, 0),
        (None, {}, 0, 0),
        ("Toys", {}, 1, 0),
        (7, {}, 1, 0),
    ],
)
def test_affinities(value: Any, expected: dict[int, float], malformed: int, unknown: int) -> None:
    found = affinities(json.dumps(value), TAXONOMY)
    assert (found.by_code, found.malformed, found.unknown) == (expected, malformed, unknown)


@pytest.mark.parametrize(
    ("value", "expected", "wrong"),
    [
        ({"min": 2, "max": 5.5}, (2.0, 5.5), 0),
        ({"min": "2"}, (2.0, math.nan), 0),
        ({"max": 5, "currency": "EUR"}, (math.nan, 5.0), 0),
        ({"min": 9, "max": 1}, (1.0, 9.0), 0),
        ([1, 2], (1.0, 2.0), 0),
        ([None, 2], (math.nan, 2.0), 0),
        ({"min": -1, "max": "cheap"}, (math.nan, math.nan), 2),
        ({"min": {}, "max": 3}, (math.nan, 3.0), 1),
        ([1, 2, 3], (math.nan, math.nan), 1),
        ("cheap", (math.nan, math.nan), 1),
        (None, (math.nan, math.nan), 0),
        ({}, (math.nan, math.nan), 0),
    ],
)
def test_price_range(value: Any, expected: tuple[float, float], wrong: int) -> None:
    found, malformed = price_range(json.dumps(value))
    assert found == pytest.approx(expected, nan_ok=True)
    assert malformed == wrong


@given(JSON)
def test_no_json_is_too_strange(value: Any) -> None:
    text = json.dumps(value)
    found = affinities(text, TAXONOMY)
    assert set(found.by_code) <= {FOOD, FRUIT, TOYS}
    assert all(math.isfinite(number) and number for number in found.by_code.values())
    (low, high), _ = price_range(text)
    assert math.isnan(low) or math.isnan(high) or 0 <= low <= high


@pytest.mark.parametrize(
    ("value", "expected", "malformed", "inferred"),
    [
        ({"Navy  Blue": 0.5, "red": -1}, {"navy blue": 0.5, "red": -1.0}, 0, 0),
        (["XL", " xl ", 42, 42.5], {"xl": 1.0, "42": 1.0, "42.5": 1.0}, 0, 0),
        ({"red": {"affinity": 2, "source": "explicit"}}, {"red": 2.0}, 0, 0),
        ({"red": {"affinity": 0.2, "source": "inferred"}, "blue": 1}, {"blue": 1.0}, 0, 1),
        ({"red": 0, "": 1, "blue": "much"}, {}, 2, 0),
        ([None, ["red"], True], {}, 3, 0),
        (None, {}, 0, 0),
        ("red", {}, 1, 0),
    ],
)
def test_words(value: Any, expected: dict[str, float], malformed: int, inferred: int) -> None:
    found = worded(json.dumps(value))
    assert (found.by_word, found.malformed, found.inferred) == (expected, malformed, inferred)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"Toys": ' + "9" * 5000 + "}"])
def test_broken_endless_and_huge_texts_are_counted(text: str) -> None:
    assert affinities(text, TAXONOMY).malformed == 1
    assert price_range(text)[1] <= 1
