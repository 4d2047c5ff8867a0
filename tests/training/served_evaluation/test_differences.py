"""Why places of served lists differ from the model's own: known answers, and what always holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from features.ids import IdMap
from features.splitting.holdout import HeldOut
from training.served_evaluation.differences import (
    PLACES,
    Cause,
    Knowledge,
    ServedList,
    explain_places,
    served_figure,
)

CATALOGUE = range(1, 101)
RANKING = list(range(1, 61))
"""The model knows 1 to 80 and ranks 1 to 60; 1 to 100 can be shown."""


def known(closed: dict[int, Cause] | None = None, ranking: list[int] = RANKING) -> Knowledge:
    return Knowledge(
        ranking, closed or {}, lambda product: product in CATALOGUE, lambda product: product <= 80
    )


def test_the_models_own_list_differs_nowhere() -> None:
    assert explain_places(ServedList(RANKING), known()) == []
    assert explain_places(ServedList(RANKING[:PLACES]), known()) == []


def test_what_is_left_out_moves_all_that_follows() -> None:
    served = ServedList([one for one in RANKING if one not in (3, 18)])
    closed = {3: Cause.POLICY, 18: Cause.NEWER, 40: Cause.POLICY}
    assert explain_places(served, known(closed)) == [Cause.POLICY] * 14 + [Cause.NEWER] * 4
    assert explain_places(served, known()) == [Cause.OTHER] * 18, "left out for no known reason"


def test_inserted_products_are_counted_by_reason() -> None:
    hidden = ServedList([*RANKING[:10], 500, *RANKING[10:]])
    assert explain_places(hidden, known()) == [Cause.HIDDEN] * 10
    unknown = ServedList([90, *RANKING])
    assert explain_places(unknown, known()) == [Cause.NEWER] * PLACES


def test_popular_products_fill_the_end_and_nothing_else() -> None:
    few = RANKING[:15]
    served = ServedList([*few, 90, 91, 92, 93, 94], popular={90, 91, 92, 93, 94})
    assert explain_places(served, known(ranking=few)) == [Cause.FILLED] * 5
    early = ServedList([90, *RANKING], popular={90})
    assert explain_places(early, known()) == [Cause.OTHER] * PLACES


def test_a_list_that_ends_early_is_explained_or_not() -> None:
    ranking = RANKING[:PLACES]
    served = ServedList(ranking[:15])
    closed = dict.fromkeys(ranking[15:], Cause.POLICY)
    assert explain_places(served, known(closed, ranking)) == [Cause.POLICY] * 5
    assert explain_places(served, known(ranking=ranking)) == [Cause.OTHER] * 5


def test_a_list_that_was_folded_in_follows_that_ranking() -> None:
    folded = [*reversed(RANKING[:4]), *RANKING[4:]]
    assert explain_places(ServedList(folded), known()) == [Cause.OTHER] * 4
    assert explain_places(ServedList(folded), known(), folded) == [Cause.NEWER] * 4
    assert explain_places(ServedList(folded), known(), RANKING) == [Cause.OTHER] * 4


def test_an_excuse_speaks_for_what_nothing_else_explains() -> None:
    served = ServedList([2, 1, *RANKING[2:]], excuse=Cause.RULES)
    assert explain_places(served, known()) == [Cause.RULES] * 2
    moved = ServedList(RANKING[1:], excuse=Cause.RULES)
    assert explain_places(moved, known({1: Cause.POLICY})) == [Cause.POLICY] * PLACES


@given(
    st.sets(st.sampled_from(RANKING), max_size=40), st.sets(st.integers(200, 220), max_size=8), st.randoms()
)
def test_reasons_that_are_known_explain_every_place(
    closed: set[int], hidden: set[int], chance: object
) -> None:
    products = [one for one in RANKING if one not in closed]
    for one in sorted(hidden):
        products.insert(chance.randint(0, len(products)), one)  # type: ignore[attr-defined]
    served = ServedList(products)
    causes = explain_places(served, known(dict.fromkeys(closed, Cause.POLICY)))
    length = max(len(products[:PLACES]), PLACES)
    pairs = [(products[i] if i < len(products) else None, RANKING[i]) for i in range(length)]
    assert len(causes) == sum(one != own for one, own in pairs)
    assert Cause.OTHER not in causes


@given(st.integers(0, PLACES - 1), st.integers(0, PLACES - 1), st.sets(st.sampled_from(RANKING), max_size=30))
def test_two_swapped_products_are_never_explained(i: int, j: int, closed: set[int]) -> None:
    products = [one for one in RANKING if one not in closed]
    products[i], products[j] = products[j], products[i]
    causes = explain_places(ServedList(products), known(dict.fromkeys(closed, Cause.POLICY)))
    own = [place for place in {i, j} if products[place] != RANKING[place]]
    assert causes.count(Cause.OTHER) == (len(own) if i != j else 0)


def test_ndcg_of_both_lists_on_the_same_users() -> None:
    items = IdMap(np.arange(1, 101))
    relevant = sparse.csr_matrix(np.eye(2, 100, dtype=bool))  # 1 for user 7, 2 for user 9
    asked = HeldOut("any", np.array([7, 9]), relevant, None, np.array([5_000_000, 5_000_000]))
    own = {7: [1, 2, 3], 9: [1, 2, 3]}
    read = {7: ServedList([2, 1, 3], made_at=4), 9: ServedList([1, 2, 3], made_at=6)}
    found = served_figure("stored", asked, items, own, read, {7: [Cause.OTHER] * 2, 9: []}, draws=100, seed=0)
    second = 1 / np.log2(3)
    assert found.offline.value == (1 + second) / 2
    assert found.ndcg.value == second
    assert np.isclose(found.change, 2 * second / (1 + second) - 1)
    assert not found.agrees
    assert (found.users, found.places, found.differing, found.causes) == (2, 40, 2, {"other": 2})
    assert found.informed == 1
    none = served_figure("api", asked, items, own, {}, {}, draws=100, seed=0)
    assert none.users == 0
    assert none.agrees
