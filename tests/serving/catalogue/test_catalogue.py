"""The catalogue in memory: a patched catalogue equals a loaded one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.catalogue.catalogue import Catalogue, CatalogueRow

POLICIES = {1: True, 2: False}
PARENTS: dict[int, int | None] = {1: None, 2: 1, 3: 2, 4: None, 5: 6, 6: 5}

rows = st.builds(
    CatalogueRow,
    st.integers(1, 12),
    st.sampled_from(["tea", "coffee", "soap"]),
    st.sampled_from([0.5, 1.0, 9.99]),
    st.sampled_from([-1, 1, 2]),
    st.sampled_from([-1, 4]),
    st.sampled_from([0.0, 1e9]),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True).map(tuple),
    st.sampled_from(["[]", '["é/1","s",2.5,"/a.png","Brand",null]']),
)
some_rows = st.lists(rows, max_size=12, unique_by=lambda row: row.id)


def contents(catalogue: Catalogue) -> dict[str, object]:
    plain = {
        field.name: np.asarray(getattr(catalogue, field.name)).tolist()
        for field in dataclasses.fields(catalogue)
        if field.name not in ("tag_code", "tag_words")  # tags may have other codes
    }
    tags = [catalogue.tags_of(row) for row in range(len(catalogue))]
    names = {product: catalogue.name(product) for product in range(15)}
    summaries = {product: catalogue.summaries.get(product) for product in range(15)}
    labels = {product: catalogue.label(product) for product in range(15)}
    return plain | {"tags": tags, "summaries": summaries, "of": names, "labels": labels}


@given(some_rows, some_rows)
def test_a_patched_catalogue_equals_a_loaded_one(
    before: list[CatalogueRow], changes: list[CatalogueRow]
) -> None:
    previous = Catalogue.of(before, POLICIES, True, PARENTS)
    columns_before = contents(previous)
    patched = previous.with_rows(changes)
    final = {row.id: row for row in [*before, *changes]}
    assert contents(patched) == contents(Catalogue.of(list(final.values()), POLICIES, True, PARENTS))
    assert contents(previous) == columns_before  # the previous catalogue does not change
    for tag in "abcd":
        expected_mask = [tag in final[product].tags for product in patched.ids.tolist()]
        assert patched.tagged(tag).tolist() == expected_mask


@pytest.mark.parametrize(
    ("category", "expected"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (4, [4]), (5, [5, 6]), (99, [])]
)
def test_descendants_of_a_category_and_of_a_cycle(category: int, expected: list[int]) -> None:
    catalogue = Catalogue.of([], {}, True, PARENTS)
    assert catalogue.descendants(category) == expected


def test_subtree_is_a_mask_of_rows() -> None:
    catalogue = Catalogue.of(
        [
            CatalogueRow(i, "x", 1.0, category, -1, 0.0, True, True, ())
            for i, category in enumerate([3, 4, -1, 1], 1)
        ],
        parents=PARENTS,
    )
    assert catalogue.subtree(1).tolist() == [True, False, False, True]
    assert catalogue.subtree(99).tolist() == [False] * 4


@given(st.sets(st.integers(1, 200), max_size=40), st.lists(st.integers(-3, 2**40), max_size=10))
def test_rows_of_dense_and_sparse_ids_are_those_of_a_search(products: set[int], others: list[int]) -> None:
    catalogue = Catalogue.of([CatalogueRow(i, "x", 1.0, -1, -1, 0.0, True, True, ()) for i in products])
    asked = [*products, *others]
    expected = [sorted(products).index(one) if one in products else -1 for one in asked]
    assert catalogue.rows(asked).tolist() == expected
    assert [catalogue.row(one) for one in asked] == expected


def test_a_change_of_products_keeps_the_table_of_rows_only_while_the_ids_are_the_same() -> None:
    first, second = (CatalogueRow(i, "x", 1.0, -1, -1, 0.0, True, True, ()) for i in (1, 3))
    catalogue = Catalogue.of([first])
    assert catalogue.rows([1, 3]).tolist() == [0, -1]
    repriced = catalogue.with_rows([first._replace(price=2.0)])
    assert repriced.rows([1, 3]).tolist() == [0, -1]
    assert repriced.with_rows([second]).rows([1, 2, 3]).tolist() == [0, -1, 1]
