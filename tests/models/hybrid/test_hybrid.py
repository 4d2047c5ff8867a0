"""The hybrid is never significantly worse than its best member, and holds together whatever it chose."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from features.dataset import Dataset, Demographics, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY as DAY
from features.interactions import History
from models import factory
from models.base import Recommender
from models.hybrid import strategy_selection as stages
from models.hybrid.blend import ndcg_of
from models.hybrid.hybrid import Hybrid, HybridParameters
from models.hybrid.strategy_selection import _beats
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes
from tests.models.hybrid.members import SMALL
from tests.models.shops import SHOPS, durables, groceries

K = 10


def small(**given: object) -> HybridParameters:
    return HybridParameters(**{"members": SMALL, "candidates": 30, "trees": 40, "k": K, **given})  # type: ignore[arg-type]


@cache
def rehearsed(shop: str) -> tuple[Dataset, Dataset, Hybrid]:
    whole = SHOPS[shop]()
    past = whole.until(whole.moment - 14 * DAY)
    return whole, past, Hybrid(small()).fit(past)


@cache
def forced(kind: str) -> tuple[Dataset, Hybrid]:
    """A hybrid of which both tasks have the rule `kind`, whatever the test says."""
    data = groceries(seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_beats", lambda *_: (kind != "single", 0.0))
        model = Hybrid(small(trees=0 if kind == "blend" else 20)).fit(data)
    assert {stage.kind for stage in model.stages_.values()} == {kind}
    return data, model


@pytest.mark.parametrize("kind", ["single", "blend", "ranker"])
@pytest.mark.parametrize("exclude", [None, "seen"])
def test_what_is_listed_is_what_a_member_names(kind: str, exclude: Any) -> None:
    data, model = forced(kind)
    line = model.history_[[0]]
    history = History.of(model.items_.ids[line.indices], line.data)
    only = data.items.ids[::2]
    ranking = model.recommend_from([history], len(data.items), exclude=exclude, only=only)
    listed = set(ranking.row(0)[0].tolist())
    members = model.stages_["new" if exclude else "any"].members
    for product in only.tolist():
        opinions = model.opinions_on(history, product, exclude=exclude, only=only)
        assert tuple(opinion.member for opinion in opinions) == members
        assert (product in listed) == any(opinion.names for opinion in opinions)
        for opinion in opinions:
            assert opinion.names == (opinion.position is not None and opinion.position <= 30) or (
                kind == "single"
            )


def right_after(whole: Dataset, past: Dataset) -> sparse.csr_matrix:
    later = whole.events.take(whole.events.time > past.moment)
    user = past.users.index(whole.users.ids)[later.user]
    item = past.items.index(whole.items.ids)[later.item]
    known = (user >= 0) & (item >= 0)
    shape = (len(past.users), len(past.items))
    pairs = np.ones(int(known.sum()), dtype=bool), (user[known], item[known])
    return sparse.coo_matrix(pairs, shape=shape).tocsr()


def per_user(model: Recommender, whole: Dataset, past: Dataset, new: bool) -> npt.NDArray[np.float64]:
    right = right_after(whole, past).toarray()
    if new:
        right &= past.touched.toarray() == 0
        owner = np.repeat(np.arange(len(past.users)), np.diff(past.touched.indptr))
        right[owner, past.touched.indices] = False
    ranking = model.recommend(past.users.ids, K, exclude="seen" if new else None)
    columns = past.items.index(ranking.products)
    hits = np.take_along_axis(right, np.maximum(columns, 0), axis=1) & (columns >= 0)
    places = np.broadcast_to(-np.arange(K, dtype=np.float32), hits.shape)
    return ndcg_of(places, hits, right.sum(axis=1), K)


@pytest.mark.parametrize("shop", SHOPS)
def test_it_is_never_significantly_worse_than_its_best_member(shop: str) -> None:
    whole, past, model = rehearsed(shop)
    members = {n: factory.create(g["algorithm"], g.get("parameters")).fit(past) for n, g in SMALL.items()}  # type: ignore[arg-type]
    for task in ("any", "new"):
        new = task == "new"
        own = per_user(model, whole, past, new)
        assert own.size > 80
        solo = {name: per_user(member, whole, past, new) for name, member in members.items()}
        best = max(solo, key=lambda name: float(solo[name].mean()))
        worse, _ = _beats(solo[best], own)
        assert not worse, f"{task}: {own.mean():.4f} < {best} {solo[best].mean():.4f}; {model.reason_}"
    left_out = {"co_visitation"} if shop == "groceries" else set()
    assert set(model.reasons_) & set(SMALL) == left_out
    assert set(model.figures_["any"]) == set(SMALL) - left_out | {"blend", "ranker"}


def test_it_finds_what_kind_of_shop_it_is_in() -> None:
    _, _, shop = rehearsed("groceries")
    figures = shop.figures_["any"]
    assert max(figures["buy_again"], figures["tifu_knn"]) > figures["popularity"]
    _, _, other = rehearsed("durable goods")
    # nothing is bought twice: what a member of habits proposes can only be wrong
    assert other.figures_["new"]["buy_again"] == 0.0
    assert "buy_again" not in other.stages_["new"].members or other.stages_["new"].kind == "ranker"


# --- whatever was chosen -------------------------------------------------------------------------

KINDS = ("single", "blend", "ranker")


@pytest.mark.parametrize("kind", KINDS)
def test_an_explanation_adds_up(kind: str) -> None:
    data, model = forced(kind)
    for user in data.users.ids[:8]:
        products, scores = model.recommend([user], 5).row(0)
        assert products.size == 5
        for product, score in zip(products, scores, strict=True):
            explanation = model.explain(int(user), int(product))
            parts = [part for _, part in explanation.contributions]
            assert explanation.score == pytest.approx(float(score), rel=1e-4, abs=1e-4)
            assert explanation.baseline + sum(parts) == pytest.approx(explanation.score, rel=1e-5, abs=1e-5)
            assert parts, "habits speak through the history"


@pytest.mark.parametrize("kind", KINDS)
def test_an_explanation_of_a_list_of_new_products_adds_up(kind: str) -> None:
    data, model = forced(kind)
    for user in data.users.ids[:8]:
        products, scores = model.recommend([user], 5, exclude="seen").row(0)
        assert products.size
        for product, score in zip(products, scores, strict=True):
            found = model.explain(int(user), int(product), exclude="seen")
            added = found.baseline + sum(part for _, part in found.contributions)
            assert found.score == pytest.approx(float(score), rel=1e-4, abs=1e-4)
            assert added == pytest.approx(found.score, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_in_gives_what_the_user_gets(kind: str) -> None:
    data, model = forced(kind)
    events = data.events
    weight = data.weights.weigh(events.kind, events.value, events.time, data.moment)
    rows = np.arange(12)
    histories = []
    for row in rows:
        own = events.user == row
        histories.append(History(data.items.ids[events.item[own]], weight[own], events.time[own]))
    for exclude in (None, "seen"):
        known = model.recommend(data.users.ids[rows], 10, exclude=exclude)  # type: ignore[arg-type]
        folded = model.recommend_from(histories, 10, exclude=exclude)  # type: ignore[arg-type]
        # a known user is no neighbour of itself, a guest with the same history is its nearest one
        alike = [np.intersect1d(known.row(i)[0], folded.row(i)[0]).size for i in range(rows.size)]
        assert np.mean(alike) > 7


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_from_the_artifact(kind: str, tmp_path: Path) -> None:
    data, model = forced(kind)
    checksum = model.save(tmp_path / "model")
    loaded = factory.load(tmp_path / "model")
    assert isinstance(loaded, Hybrid)
    for exclude in (None, "seen"):
        left, right = (m.recommend(data.users.ids, 10, exclude=exclude) for m in (model, loaded))  # type: ignore[arg-type]
        np.testing.assert_array_equal(left.products, right.products)
        np.testing.assert_array_equal(left.scores, right.scores)
    user, product = int(data.users.ids[0]), int(model.recommend(data.users.ids[:1], 1).products[0, 0])
    assert model.explain(user, product) == loaded.explain(user, product)
    assert (loaded.reason_, loaded.figures_) == (model.reason_, model.figures_)
    assert loaded.save(tmp_path / "again") == checksum


def test_the_same_seed_gives_the_same_trees() -> None:
    data, model = forced("ranker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_beats", lambda *_: (True, 0.0))
        again = Hybrid(small(trees=20)).fit(data)
    for task, stage in model.stages_.items():
        assert stage.ranker is not None
        other = again.stages_[task].ranker
        assert other is not None
        np.testing.assert_array_equal(stage.ranker.text, other.text)


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_be_shown_does_not_change_the_scores(kind: str) -> None:
    data, model = forced(kind)
    users = data.users.ids[:20]
    every = model.recommend(users, len(data.items))
    only = data.items.ids[::5]
    some = model.recommend(users, 8, only=only)
    for i in range(len(every)):
        known = dict(zip(*every.row(i), strict=True))
        products, scores = some.row(i)
        # buying again by itself knows nothing but what a user had
        alone = list(model.stages_["any"].members) == ["buy_again"]
        assert products.size >= (1 if alone else 3), "candidates are looked for among what may be shown"
        for product, score in zip(products, scores, strict=True):
            if product in known:
                assert score == pytest.approx(known[product], rel=1e-3, abs=1e-3)


# --- small shops and wrong settings --------------------------------------------------------------


def test_a_shop_too_small_to_learn_from_gets_the_usual_leader() -> None:
    model = Hybrid().fit(two_tastes())
    assert {stage.kind for stage in model.stages_.values()} == {"single"}
    assert model.stages_["any"].members == ("normalised_knn",)
    assert "too few users" in model.reason_
    again = [(0, item, "purchase", float(day)) for item in range(3) for day in range(0, 60, 7)]
    assert Hybrid().fit(dataset(again, users=1, items=3)).stages_["any"].members == ("tifu_knn",)


def test_a_member_that_cannot_be_fitted_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Invalid("no room")

    monkeypatch.setattr("models.algorithms.linear.ease.EASE._fit", refuse)
    model = Hybrid(small(trees=0)).fit(durables())
    assert model.reasons_["ease"] == "left out: no room"
    assert all("ease" not in stage.members for stage in model.stages_.values())
    assert "tifu_knn" in model.figures_["new"]
    alone = Hybrid(HybridParameters(members={"ease": {"algorithm": "ease"}}))
    with pytest.raises(Invalid, match=r"no member can be fitted.*no room"):
        alone.fit(durables())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "at least one"),
        ({"a": {"algorithm": "hybrid"}}, "hybrid itself"),
        ({"a": {"parameters": {}}}, "table with algorithm"),
        ({"a": {"algorithm": "nonesuch"}}, "member 'a'.*nonesuch"),
        ({"a": {"algorithm": "ease", "parameters": {"rigde": 1}}}, "rigde"),
    ],
)
def test_wrong_members_are_refused_at_once(members: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        Hybrid(HybridParameters(members=members))


def test_a_user_with_only_stated_preferences_gets_those_first(tmp_path: Path) -> None:
    shop = groceries(users=60, items=40)
    users = len(shop.users)
    no_preferences = Preferences.none(users + 2, 6, 4)
    brands = sparse.lil_matrix((users + 2, 4), dtype=np.float32)
    brands[users, 2] = 1.0
    data = replace(
        shop,
        users=IdMap(np.append(shop.users.ids, [90_001, 90_002])),
        preferences=replace(no_preferences, brands=brands.tocsr()),
        demographics=Demographics.none(users + 2),
    )
    members = {name: {"algorithm": name} for name in ("popularity", "buy_again")}
    model = Hybrid(HybridParameters(members=members)).fit(data)
    assert model.save(tmp_path / "hybrid")
    again = Hybrid.load(tmp_path / "hybrid")
    for each in (model, again):
        talker, silent = _two(each)
        assert (data.item_features.brand[data.items.index(talker)] == 2).all()
        assert talker.size == 10
        assert not np.array_equal(talker, silent)
        best = int(talker[0])
        score = float(each.recommend([90_001], 1).scores[0, 0])
        assert each.explain(90_001, best).score == pytest.approx(score, abs=1e-5)
    # as soon as they do something, the rule for everybody takes over
    guest = History.of(data.items.ids[[0, 4]])
    assert not (
        data.item_features.brand[data.items.index(model.recommend_from([guest], 10).products[0])] == 2
    ).all()


def _two(model: Hybrid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    ranking = model.recommend([90_001, 90_002], 10)
    return ranking.row(0)[0], ranking.row(1)[0]
