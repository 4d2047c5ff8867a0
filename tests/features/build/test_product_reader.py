"""Category paths from a tree, and what a word may be called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.build.product_reader import Taxonomy, category_paths


def test_paths_lead_from_the_root() -> None:
    names = {1: "Food", 2: "Fruit", 3: "Apples", 4: "Toys"}
    paths = category_paths(names, {2: 1, 3: 2, 4: 99})
    assert paths == {1: "Food", 2: "Food > Fruit", 3: "Food > Fruit > Apples", 4: "Toys"}


@given(st.dictionaries(st.integers(0, 6), st.integers(0, 6)))
def test_no_tree_hangs_and_each_path_ends_with_its_own_name(parents: dict[int, int]) -> None:
    names = {i: f"c{i}" for i in range(6)}
    for i, path in category_paths(names, parents).items():
        steps = path.split(" > ")
        assert steps[-1] == f"c{i}"
        assert len(set(steps)) == len(steps)


def test_a_circle_is_followed_once_around() -> None:
    assert category_paths({1: "a", 2: "b"}, {1: 2, 2: 1}) == {1: "b > a", 2: "a > b"}


def test_codes_follow_the_alphabet_not_the_ids() -> None:
    one = Taxonomy.of({1: "b", 2: "a"}, {1: ("B",), 2: ("A",)})
    other = Taxonomy.of({9: "a", 4: "b"}, {9: ("A",), 4: ("B",)})
    assert one.words == other.words == ["a", "b"]
    assert one.by_id == {1: 1, 2: 0}
    assert one.by_spelling == other.by_spelling == {"a": 0, "b": 1}
