"""Plain words, and words near to what was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.search.analysis.query_parsing import distance, neighbours, plain_words
from recsys.search.backends.postgres.spelling import nearest

TEXT = st.text(st.characters(), max_size=400)
WORD = st.text("abcde1", max_size=6)


@given(TEXT)
def test_words_are_letters_and_digits_few_and_short(text: str) -> None:
    words = plain_words(text)
    assert len(words) <= 12
    assert len(set(words)) == len(words)
    for word in words:
        assert word.isalnum()
        assert 0 < len(word) <= 40
        word.encode()


@given(WORD, WORD, WORD)
def test_distances_are_symmetric_and_zero_for_equals_only(one: str, other: str, third: str) -> None:
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, other) >= abs(len(one) - len(other))
    assert distance(one + third, other + third) <= distance(one, other)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("kitten", "sitting", 3), ("lmap", "lamp", 1), ("ca", "abc", 3), ("", "abc", 3), ("tea", "tea", 0)],
)
def test_known_distances(one: str, other: str, edits: int) -> None:
    assert distance(one, other) == edits


@given(st.text("abc", min_size=1, max_size=4))
def test_neighbours_are_one_edit_away(word: str) -> None:
    assert {distance(word, near) for near in neighbours(word)} <= {0, 1}
    assert word[1:] in set(neighbours(word))


def test_the_nearest_have_fewest_edits_then_most_products() -> None:
    given_words = [("lamp", 3), ("lamb", 9), ("lump", 1), ("lamps", 50), ("ladle", 99)]
    assert nearest("lamp", given_words) == ("lamps", "lamb", "lump")
    assert nearest("lam", given_words) == ("lamb", "lamp")
    assert nearest("12", [("13", 5)]) == ()
