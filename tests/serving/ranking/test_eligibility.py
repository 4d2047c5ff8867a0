"""Eligibility: repeat policies, stored entries, excluded products, and reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.reasons import Kind, ReasonCode, evidence_reasons, reason, reason_text
from recsys.domains.recommendations.stored_lists.codec import Entry
from serving.catalogue.catalogue import Catalogue, CatalogueRow, inherit_policies
from serving.ranking.eligibility import Novelty, SeenProducts


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({1: (None, None), 2: (1, None)}, {1: True, 2: True}),
        ({1: (None, False), 2: (1, None), 3: (2, None)}, {1: False, 2: False, 3: False}),
        ({1: (None, False), 2: (1, True), 3: (2, None)}, {1: False, 2: True, 3: True}),
        ({1: (2, None), 2: (1, None)}, {1: True, 2: True}),  # a cycle
        ({1: (9, None)}, {1: True}),  # a deleted parent
    ],
)
def test_the_nearest_policy_of_a_category_applies(
    rows: dict[int, tuple[int | None, bool | None]], expected: dict[int, bool]
) -> None:
    assert inherit_policies(rows, True) == expected


def entry(product: int, *, novel: bool = True) -> Entry:
    return Entry(product, 1, Kind.COLLABORATIVE, ReasonCode.CHOSEN, -1, novel)


def test_eligible_entries_of_a_visitor() -> None:
    # 1 repeats; 2 does not; 3 is hidden
    def row(product: int, shown: bool, category: int) -> CatalogueRow:
        return CatalogueRow(product, "abc"[product - 1], 1.0, category, -1, 0.0, shown, shown, ())

    catalogue = Catalogue.of([row(1, True, -1), row(2, True, 7), row(3, False, -1)], {7: False})
    entries = [entry(1), entry(2), entry(3), entry(4)]

    def seen(visitor: SeenProducts, novelty: Novelty) -> list[int]:
        return [entry.product for entry in visitor.first_eligible(catalogue, entries, 10, novelty)[0]]

    assert seen(SeenProducts(), Novelty.ANY) == [1, 2]
    bought_two = SeenProducts({1, 2}, {1, 2})
    assert seen(bought_two, Novelty.ANY) == [1]
    assert seen(bought_two, Novelty.NEW) == []
    assert seen(SeenProducts({2}), Novelty.ANY) == [1, 2]
    assert seen(SeenProducts({2}), Novelty.NEW) == [1]
    everything = SeenProducts({1, 2}, {1, 2}, {1})
    excluded = {
        reason_: rows.tolist() for reason_, rows in everything.excluded(catalogue, Novelty.ANY).items()
    }
    assert excluded == {"dismissed": [True, False, False], "bought": [False, True, False]}
    assert everything.excluded(catalogue, Novelty.NEW)["not_new"].tolist() == [True, True, False]
    assert seen(SeenProducts(dismissed={1}), Novelty.ANY) == [2]
    assert SeenProducts.of_recent([b"5", b"7", b"-7", b"d5"]) == SeenProducts({5, 7}, {7}, {5})


def test_reasons_follow_the_evidence() -> None:
    products, evidence = np.array([1, 1, 1, 1, 1]), np.array([1, 1, 2, 2, -1])
    bought = np.array([True, False, True, False, False])
    assert evidence_reasons(products, evidence, bought, Kind.COLLABORATIVE).tolist() == [
        ReasonCode.BOUGHT_BEFORE, ReasonCode.VIEWED_BEFORE, ReasonCode.BECAUSE_BOUGHT,
        ReasonCode.BECAUSE_VIEWED, ReasonCode.CHOSEN,
    ]  # fmt: skip
    assert evidence_reasons(products, evidence, bought, Kind.POPULAR)[-1] == ReasonCode.POPULAR
    bought_reason: Any = reason(ReasonCode.BECAUSE_BOUGHT, 7, "Tea")
    assert bought_reason == {
        "code": "because_bought", "text": "Because you bought Tea", "product_ids": [7],
    }  # fmt: skip
    deleted_reason: Any = reason(ReasonCode.BECAUSE_BOUGHT, 7, None)
    assert deleted_reason == {
        "code": "because_bought",
        "text": "Because of what you bought",
        "product_ids": [],
    }


@given(st.sampled_from(ReasonCode), st.text(max_size=255))
def test_a_reason_always_fits_its_column(code: ReasonCode, name: str) -> None:
    assert 0 < len(reason_text(code, name)) <= 100


def test_stored_codes_fit_their_bits() -> None:
    assert max(Kind) < 8
    assert max(ReasonCode) < 16
