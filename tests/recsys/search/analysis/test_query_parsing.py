"""Plain words, and the words nearest to a misspelt one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from recsys.search.analysis.query_parsing import neighbours, plain_words
from recsys.search.backends.postgres.spelling import nearest

TEXT = st.text(st.characters(), max_size=400)


@given(TEXT)
def test_words_are_letters_and_digits_few_and_short(text: str) -> None:
    words = plain_words(text)
    assert len(words) <= 12
    assert len(set(words)) == len(words)
    for word in words:
        assert word.isalnum()
        assert 0 < len(word) <= 40
        word.encode()


@given(st.text("abc", min_size=1, max_size=4))
def test_neighbours_are_one_edit_away(word: str) -> None:
    assert {OSA.distance(word, near) for near in neighbours(word)} <= {0, 1}
    assert word[1:] in set(neighbours(word))


def test_the_nearest_have_fewest_edits_then_most_products() -> None:
    given_words = [("lamp", 3), ("lamb", 9), ("lump", 1), ("lamps", 50), ("ladle", 99)]
    assert nearest("lamp", given_words) == ("lamps", "lamb", "lump")
    # swapped neighbours are one edit
    assert nearest("lmap", given_words) == ("lamp",)
    assert nearest("lam", given_words) == ("lamb", "lamp")
    assert nearest("12", [("13", 5)]) == ()
