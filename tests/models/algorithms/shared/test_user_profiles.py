"""User profiles of the content-based model: stated preferences win; inferred ones equal those of the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from features.affinities import infer
from features.dataset import Dataset, ItemFeatures, Preferences, Words
from features.interactions import History
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from tests.models.data import catalogue, dataset, two_tastes

ITEMS = 12
EMPTY = Preferences.none(2, 6, 4)
ROW = np.array([1])


def stated_by_second(codes: list[float]) -> sparse.csr_matrix:
    """Preferences stated by the second of two users."""
    return sparse.csr_matrix(np.array([[0.0] * len(codes), codes], dtype=np.float32))


def products() -> ItemFeatures:
    """Every third product is red, the others blue; sizes s, m, l by turns; odd ones are casual."""
    rows = range(ITEMS)
    return replace(
        catalogue(ITEMS),
        colours=Words.of(list(rows), ["blue" if row % 3 else "red" for row in rows], ITEMS),
        sizes=Words.of(list(rows), ["sml"[row % 3] for row in rows], ITEMS),
        styles=Words.of(list(rows)[1::2], ["casual"] * (ITEMS // 2), ITEMS),
    )


def shop(preferences: Preferences, rows: list[tuple[int, int, str, float]] | None = None) -> Dataset:
    events = [(0, 0, "purchase", 1.0), *(rows or [])]
    return dataset(events, users=2, items=ITEMS, features=products(), preferences=preferences)


STATED: dict[str, tuple[dict[str, Any], list[int]]] = {
    "brand": ({"brands": stated_by_second([0, 1, 0, 0])}, [1, 5, 9]),
    "category": ({"categories": stated_by_second([0, 0, 0, 1, 0, 0])}, [3, 9]),
    "price": ({"price": np.array([[np.nan, np.nan], [6.9, 9.0]], np.float32)}, [4, 5, 6, 11]),
    "colour": ({"colours": Words(stated_by_second([1, 0]), ["red", "teal"])}, [0, 3, 6, 9]),
    "size": ({"sizes": Words(stated_by_second([0, 1]), ["42", "l"])}, [2, 5, 8, 11]),
    "style": ({"styles": Words(stated_by_second([1]), ["casual"])}, [1, 3, 5, 7, 9, 11]),
}


@pytest.mark.parametrize("facet", STATED)
def test_a_user_with_one_stated_preference_and_no_events_gets_that_first(facet: str) -> None:
    preferences, expected = STATED[facet]
    model = ContentBased().fit(shop(replace(EMPTY, **preferences)))
    found, _ = model.recommend([17], ITEMS).row(0)
    rows = ((found - 100) // 3).tolist()
    assert sorted(rows[: len(expected)]) == expected
    # no preferences and no events give no list: the silent one of two is user 7, who has an event
    assert ContentBased().fit(shop(EMPTY)).recommend([17], 3).row(0)[0].size == 0


def test_after_a_few_events_a_stated_preference_still_leads() -> None:
    preferences = replace(EMPTY, brands=stated_by_second([0, 1, 0, 0]))
    model = ContentBased().fit(shop(preferences, [(1, 2, "view", 1.0)]))  # a product of brand 2
    first = model.recommend([17], 3, exclude="seen").row(0)[0]
    assert sorted(((first - 100) // 3).tolist()) == [1, 5, 9]
    silent = ContentBased().fit(shop(EMPTY, [(1, 2, "view", 1.0)]))
    assert (int(silent.recommend([17], 1, exclude="seen").products[0, 0]) - 100) // 3 not in (1, 5, 9)


def test_behind_a_taste_lie_the_affinities_of_the_preferences_job() -> None:
    data = two_tastes()
    taste = ContentBased().fit(data).taste_
    rows = np.arange(len(data.users))
    silent = rows[np.diff(taste._explicit(rows).indptr) == 0]
    inferred = taste.inferred(data.matrix[silent], silent).toarray()
    job = infer(data, prior=10.0)
    for number, facet in enumerate(("category", "brand")):
        inside = slice(*np.searchsorted(taste.facet, [number, number + 1]))
        share, q = job.facets[facet][0].toarray()[silent].astype(np.float64), taste.shop[inside]
        weighed = np.where(share > 0, share * np.log(np.maximum(share, 1e-9) / q) / -np.log(q), 0.0)
        np.testing.assert_allclose(inferred[:, inside], np.maximum(weighed, 0), atol=1e-6)


def test_a_stated_affinity_replaces_the_inferred_one() -> None:
    events = [(1, 2, "purchase", 1.0), (1, 4, "purchase", 1.0)]  # brands 2 and 0
    silent = ContentBased().fit(shop(EMPTY, events)).taste_
    brands = slice(*np.searchsorted(silent.facet, [1, 2]))
    matrix = shop(EMPTY, events).matrix[ROW]
    assert silent.inferred(matrix, ROW).toarray()[0, brands][2] > 0
    for affinity in (1.0, -1.0):  # liked as stated, or disliked
        preferences = replace(EMPTY, brands=stated_by_second([0, 0, affinity, 0]))
        taste = ContentBased().fit(shop(preferences, events)).taste_
        assert taste.inferred(matrix, ROW).toarray()[0, brands][2] == 0
        spoken, _ = taste.profiles(matrix, ROW)
        assert (spoken.nnz > 0 and float(spoken.sum()) > 0) == (affinity > 0)
        assert taste.has_explicit(ROW).tolist() == [affinity > 0]


def test_bands_outside_a_price_range_are_not_liked() -> None:
    preferences = replace(EMPTY, price=np.array([[np.nan, np.nan], [6.9, 9.0]], np.float32))
    events = [(1, 0, "purchase", 1.0)]  # the cheapest there is
    taste = ContentBased().fit(shop(preferences, events)).taste_
    bands = slice(*np.searchsorted(taste.facet, [2, 3]))
    assert not taste.inferred(shop(preferences, events).matrix[ROW], ROW).toarray()[0, bands].any()
    silent = ContentBased().fit(shop(EMPTY, events)).taste_
    assert silent.inferred(shop(EMPTY, events).matrix[ROW], ROW).toarray()[0, bands].any()


def test_reasons_add_up_with_stated_and_inferred_preferences() -> None:
    preferences = replace(
        EMPTY, brands=stated_by_second([0, 1, 0, 0]), colours=Words(stated_by_second([1]), ["red"])
    )
    model = ContentBased().fit(shop(preferences, [(1, 2, "view", 1.0), (1, 3, "purchase", 2.0)]))
    found, scores = model.recommend([17], ITEMS).row(0)
    for product, score in zip(found.tolist(), scores.tolist(), strict=True):
        assert model.explain(17, product).score == pytest.approx(score, abs=1e-5)
    assert model.explain(17, 103).baseline > 0
    guest = History.of([106, 109], [1.0, 5.0])
    found, scores = model.recommend_from([guest], 5).row(0)
    assert model.explain_from(guest, int(found[0])).score == pytest.approx(float(scores[0]), abs=1e-5)
    assert model.explain_from(guest, int(found[0])).baseline == 0.0  # a guest's taste is their history's


def test_without_a_preference_only_products_count() -> None:
    preferences = replace(EMPTY, brands=stated_by_second([0, 1, 0, 0]))
    model = ContentBased(ContentBasedParameters(preference=0.0)).fit(shop(preferences))
    assert model.recommend([17], 3).row(0)[0].size == 0
