"""The contract of every model, also of installed packages: one suite over all algorithms."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from features.interactions import History
from models import base, factory
from models.base import Recommender
from models.ranking.filters import Exclude, RankRequest, Selection
from models.results import Ranking
from recsys.errors import Invalid, NotFound
from tests.models.data import ITEMS, UNTOUCHED_USER, USERS, dataset, two_tastes

ALGORITHMS = factory.algorithms()
DATA = two_tastes()
EVERYBODY = DATA.users.ids
NOBODY = 123_456_789
NOTHING = 987_654_321


@cache
def fitted(algorithm: str) -> Recommender:
    return factory.create(algorithm).fit(DATA)


@pytest.fixture(params=ALGORITHMS)
def model(request: pytest.FixtureRequest) -> Recommender:
    return fitted(request.param)


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_same(left: Ranking, right: Ranking) -> None:
    """Equal to the last bit."""
    np.testing.assert_array_equal(left.products, right.products)
    np.testing.assert_array_equal(left.scores, right.scores)


def assert_alike(left: Ranking, right: Ranking, tolerance: float = 1e-4) -> None:
    """Equal but for the order of products whose scores differ by rounding only."""
    np.testing.assert_array_equal(left.products < 0, right.products < 0)
    for i in range(len(left)):
        (products, scores), (others, other_scores) = left.row(i), right.row(i)
        scale = np.abs(scores).max(initial=1e-9)
        np.testing.assert_allclose(scores, other_scores, atol=tolerance * scale)
        place = {int(product): float(score) for product, score in zip(products, scores, strict=True)}
        for product, score in zip(others, other_scores, strict=True):
            # a product missing on one side must have been at the end of the list, where scores are equal
            assert abs(place.get(int(product), float(scores[-1])) - score) <= tolerance * scale


def own_history(model: Recommender, row: int) -> History:
    line = model.history_[[row]]
    return History.of(model.items_.ids[line.indices], line.data)


def test_the_algorithms_of_this_project_are_installed() -> None:
    assert {"popularity", "item_knn", "als", "content"} <= set(ALGORITHMS)


# --- opinions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", [None, "seen"])
def test_an_opinion_is_the_position_in_the_models_own_ranking(model: Recommender, exclude: Any) -> None:
    history, only = own_history(model, 0), DATA.items.ids[::2]
    products, scores = model.recommend_from([history], ITEMS, exclude=exclude, only=only).row(0)
    ranked = dict(zip(products.tolist(), zip(count(1), scores.tolist(), strict=False), strict=True))
    assert model.opinions_on(history, NOTHING, exclude=exclude, only=only) == ()
    for product in DATA.items.ids.tolist():
        opinions = model.opinions_on(history, product, exclude=exclude, only=only)
        assert any(opinion.names for opinion in opinions) == (product in ranked)
        if len(opinions) == 1 and product in ranked:
            position, score = ranked[product]
            assert (opinions[0].position, opinions[0].score) == (position, pytest.approx(score, abs=1e-5))


# --- fitting -------------------------------------------------------------------------------------


def test_fit_returns_the_model_and_a_second_fit_gives_the_same(algorithm: str) -> None:
    model = factory.create(algorithm)
    assert model.fit(DATA) is model
    first = model.recommend(EVERYBODY, 10)
    assert_same(first, model.fit(DATA).recommend(EVERYBODY, 10))
    assert_same(first, fitted(algorithm).recommend(EVERYBODY, 10))


def test_a_fit_on_other_data_forgets_the_first(algorithm: str) -> None:
    other = two_tastes(seed=5).until(DATA.moment - 20 * 86_400 * 10**6)
    again = factory.create(algorithm).fit(DATA).fit(other)
    assert_same(again.recommend(EVERYBODY, 10), factory.create(algorithm).fit(other).recommend(EVERYBODY, 10))
    assert again.moment_ == other.moment
    assert again.dataset_fingerprint_ == other.fingerprint


def test_data_without_a_positive_event_is_refused(algorithm: str) -> None:
    with pytest.raises(Invalid, match="positive weight"):
        factory.create(algorithm).fit(dataset([(0, 0, "dismissed", 1.0)], users=1, items=1))


def test_one_user_and_one_item_are_enough(algorithm: str) -> None:
    model = factory.create(algorithm).fit(dataset([(0, 0, "purchase", 1.0)], users=1, items=1))
    products, scores = model.recommend([7], 5).row(0)
    assert products.tolist() in ([], [100])
    assert np.isfinite(scores).all()
    assert model.recommend([7], 5, exclude="seen").row(0)[0].size == 0


def test_parameters_make_the_round_trip(algorithm: str) -> None:
    given = asdict(factory.create(algorithm).parameters)
    assert json.loads(json.dumps(given)) == given
    assert asdict(factory.create(algorithm, given).parameters) == given


# --- lists ---------------------------------------------------------------------------------------


def test_lists_are_well_formed(model: Recommender) -> None:
    k = ITEMS + 10
    ranking = model.recommend([*EVERYBODY, NOBODY], k)
    assert ranking.products.shape == ranking.scores.shape == (USERS + 2, k)
    assert ranking.products.dtype == np.dtype(np.int64)
    assert ranking.scores.dtype == np.dtype(np.float32)
    for i in range(len(ranking)):
        products, scores = ranking.row(i)
        assert (ranking.products[i, products.size :] == -1).all(), "padding is at the end"
        assert (ranking.scores[i, products.size :] == -np.inf).all()
        assert np.isfinite(scores).all()
        assert (np.diff(scores) <= 0).all()
        assert np.unique(products).size == products.size
        assert np.isin(products, DATA.items.ids).all()


def test_users_with_a_history_get_a_list(model: Recommender) -> None:
    assert (model.recommend(EVERYBODY[:USERS], 5).products >= 0).all()


def test_a_short_list_is_the_start_of_a_long_one(model: Recommender) -> None:
    long, short = model.recommend(EVERYBODY, 20), model.recommend(EVERYBODY, 7)
    np.testing.assert_array_equal(long.products[:, :7], short.products)


def test_a_batch_gives_what_single_questions_give(model: Recommender) -> None:
    batch = model.recommend(EVERYBODY, 10)
    singles = [model.recommend([user], 10) for user in EVERYBODY]
    joined = Ranking(
        EVERYBODY, np.concatenate([s.products for s in singles]), np.concatenate([s.scores for s in singles])
    )
    assert_alike(batch, joined, 1e-5)


def test_blocks_change_nothing(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(algorithm).recommend(EVERYBODY, 10, exclude="seen")
    similar = fitted(algorithm).similar_items(DATA.items.ids, 10)
    monkeypatch.setattr(base, "BLOCK_BYTES", 4 * (ITEMS + 1) * 3)
    assert_alike(whole, fitted(algorithm).recommend(EVERYBODY, 10, exclude="seen"), 1e-5)
    assert_alike(similar, fitted(algorithm).similar_items(DATA.items.ids, 10), 1e-5)


def test_what_is_excluded_never_shows(model: Recommender) -> None:
    barred = DATA.items.ids[::3]
    ranking = model.recommend(EVERYBODY, ITEMS, exclude=[*barred, NOTHING])
    assert not np.isin(ranking.products, barred).any()
    assert (ranking.products[:USERS] >= 0).any(axis=1).all()


def test_what_was_seen_never_shows_even_if_it_was_not_liked(model: Recommender) -> None:
    ranking = model.recommend(EVERYBODY, ITEMS + 1, exclude="seen")
    for i, row in enumerate(DATA.users.index(EVERYBODY)):
        assert not np.isin(ranking.row(i)[0], DATA.items.ids[DATA.touched[[row]].indices]).any()
    assert (DATA.touched.data == 0).any(), "the data must hold touches without liking"


def test_only_what_is_asked_for_shows(model: Recommender) -> None:
    for allowed in (DATA.items.ids[:4], DATA.items.ids[2:]):
        ranking = model.recommend(EVERYBODY, ITEMS, only=[*allowed, NOTHING], exclude=allowed[:1])
        shown = ranking.products[ranking.products >= 0]
        assert np.isin(shown, allowed[1:]).all()
        similar = model.similar_items(DATA.items.ids, ITEMS, only=allowed)
        assert np.isin(similar.products[similar.products >= 0], allowed).all()
    assert (model.recommend(EVERYBODY, 3, only=[]).products == -1).all()


def test_only_and_exclude_choose_from_the_same_order(model: Recommender) -> None:
    allowed = DATA.items.ids[1::4]
    left = model.recommend(EVERYBODY, 8, only=allowed)
    right = model.recommend(EVERYBODY, 8, exclude=np.setdiff1d(DATA.items.ids, allowed))
    assert_same(left, right)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 3, "exclude": "sene"}, {"k": 3, "only": [1.5]}])
def test_a_wrong_question_is_refused(model: Recommender, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"k must be|exclude is|only must be"):
        model.recommend(EVERYBODY, **wrong)  # type: ignore[arg-type]


# --- users and products that the model has not met -----------------------------------------------


def test_an_unknown_user_gets_an_empty_row(model: Recommender) -> None:
    assert not model.knows(NOBODY)
    assert model.knows(int(EVERYBODY[0]))
    ranking = model.recommend([NOBODY, EVERYBODY[0]], 5)
    assert ranking.row(0)[0].size == 0
    assert ranking.row(1)[0].size == 5
    assert len(model.recommend([], 5)) == 0
    with pytest.raises(NotFound, match=str(NOBODY)):
        model.explain(NOBODY, int(DATA.items.ids[0]))
    with pytest.raises(NotFound, match=str(NOTHING)):
        model.explain(int(EVERYBODY[0]), NOTHING)


def test_an_empty_history_is_never_an_error(model: Recommender) -> None:
    silent = model.recommend([EVERYBODY[UNTOUCHED_USER]], 5)
    folded = model.recommend_from([History.of([]), History.of([NOTHING])], 5)
    assert_same(Ranking(folded.queries[:1], folded.products[:1], folded.scores[:1]), silent)
    np.testing.assert_array_equal(folded.products[0], folded.products[1])
    assert len(model.recommend_from([], 5)) == 0
    assert (model.evidence(silent) == -1).all()


def test_unknown_products_in_a_history_are_ignored(model: Recommender) -> None:
    taken = DATA.items.ids[[0, 4, 8]]
    plain = model.recommend_from([History.of(taken)], 10)
    mixed = model.recommend_from([History.of([NOTHING, *taken, NOTHING + 1])], 10)
    assert_same(plain, mixed)


def test_a_history_may_name_a_product_twice(model: Recommender) -> None:
    first, second = DATA.items.ids[[0, 4]]
    once = model.recommend_from([History.of([first, second], [3.0, 1.0])], 10)
    twice = model.recommend_from([History.of([first, second, first], [1.0, 1.0, 2.0])], 10)
    assert_alike(once, twice, 1e-6)


def test_what_a_guest_touched_without_liking_is_seen_and_teaches_nothing(model: Recommender) -> None:
    first, second = DATA.items.ids[[0, 4]]
    plain = model.recommend_from([History.of([first])], 10, exclude=[first, second])
    touched = model.recommend_from([History.of([first, second], [1.0, 0.0])], 10, exclude="seen")
    assert_same(plain, touched)


def test_similar_items_leave_the_item_itself_out(model: Recommender) -> None:
    asked = np.append(DATA.items.ids, NOTHING)
    ranking = model.similar_items(asked, 10)
    assert not (ranking.products == asked[:, None]).any()
    assert ranking.row(ITEMS + 1)[0].size == 0
    for i in range(len(ranking)):
        products, scores = ranking.row(i)
        assert np.unique(products).size == products.size
        assert (np.diff(scores) <= 0).all()


# --- reasons -------------------------------------------------------------------------------------


def test_an_explanation_adds_up_to_the_score(model: Recommender) -> None:
    for i, user in enumerate(EVERYBODY):
        ranking = model.recommend([user], 6)
        for product, score in zip(*ranking.row(0), strict=True):
            explanation = model.explain(int(user), int(product))
            parts = [part for _, part in explanation.contributions]
            scale = max(abs(explanation.baseline) + sum(map(abs, parts)), 1e-6)
            assert explanation.product == product
            assert explanation.score == pytest.approx(float(score), abs=1e-4 * scale)
            assert explanation.baseline + sum(parts) == pytest.approx(explanation.score, abs=1e-5 * scale)
            assert {named for named, _ in explanation.contributions} <= set(
                own_history(model, i).products.tolist()
            )
            assert parts == sorted(parts, reverse=True)


def test_a_guest_gets_an_explanation_that_adds_up(model: Recommender) -> None:
    history = History.of(DATA.items.ids[[0, 4, 8]], [1.0, 3.0, 0.0])
    for product, score in zip(*model.recommend_from([history], 6).row(0), strict=True):
        explanation = model.explain_from(history, int(product))
        scale = max(abs(explanation.baseline) + sum(abs(part) for _, part in explanation.contributions), 1e-6)
        assert explanation.score == pytest.approx(float(score), abs=1e-4 * scale)
        assert {named for named, _ in explanation.contributions} <= set(history.products[:2].tolist())


@pytest.mark.parametrize("exclude", [None, "seen"])
def test_products_explained_together_are_explained_as_each_alone(
    model: Recommender, exclude: Exclude
) -> None:
    history = History.of(DATA.items.ids[[0, 4, 8]], [1.0, 3.0, 0.0])
    products = model.recommend_from([history], 6, exclude=exclude).row(0)[0].tolist()
    together = model.explain_list_from(history, [*products[::-1], 999_999], exclude=exclude)
    assert [explanation.product for explanation in together] == products[::-1]
    for explanation in together:
        alone = model.explain_from(history, explanation.product, exclude=exclude)
        scale = max(abs(alone.baseline) + sum(abs(part) for _, part in alone.contributions), 1e-6)
        assert explanation.score == pytest.approx(alone.score, abs=1e-5 * scale)
        assert dict(explanation.contributions) == pytest.approx(dict(alone.contributions), abs=1e-5 * scale)


def test_evidence_is_the_largest_contribution(model: Recommender) -> None:
    ranking = model.recommend(EVERYBODY, 5)
    best = model.evidence(ranking)
    assert best.shape == ranking.products.shape
    for i, user in enumerate(EVERYBODY):
        for j, product in enumerate(ranking.row(i)[0]):
            if model.algorithm == "hybrid":  # in a cheaper way: tests/models/hybrid/test_evidence.py
                row = DATA.users.index([user])[0]
                own = DATA.items.ids[DATA.matrix[row].indices]
                assert best[i, j] in own or (best[i, j] == -1 and not own.size)
                continue
            contributions = model.explain(int(user), int(product)).contributions
            if best[i, j] == -1:
                assert not contributions or contributions[0][1] <= 1e-9
            else:
                largest = [named for named, part in contributions if part >= contributions[0][1] * (1 - 1e-5)]
                assert best[i, j] in largest


def test_scores_among_some_products_are_those_among_all(model: Recommender) -> None:
    rows = model.users_.index(np.tile(EVERYBODY, 2))
    history = model.history_[rows]
    columns = np.arange(0, len(model.items_), 2, dtype=np.int64)
    folded = [own_history(model, int(row)) for row in rows]
    strangers = np.full(rows.size, -1, dtype=np.int64)
    for request in (
        RankRequest(history, rows, Selection.all()),
        RankRequest(model._matrix_of(folded), strangers, Selection.all(), folded),
    ):
        some = np.zeros((rows.size, columns.size), dtype=np.float32)
        scorer = model._column_scorer(request)
        if scorer is None:
            assert model.algorithm not in ("als", "degree_svd", "tifu_knn"), "these gain by it"
            continue
        scorer(columns, some)
        every = np.empty((rows.size, len(model.items_)), dtype=np.float32)
        model._answer(request, every)
        np.testing.assert_allclose(some, every[:, columns], rtol=1e-4, atol=1e-6)
        for pool in (columns, columns[1:].copy(), columns):
            again = np.empty((rows.size, pool.size), dtype=np.float32)
            scorer(pool, again, is_pool=True)
            # another number of products, another order of sums
            np.testing.assert_allclose(again, some[:, -pool.size :], rtol=1e-4, atol=1e-6)


# --- the artifact --------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [True, False])
def test_a_saved_model_answers_the_same(model: Recommender, tmp_path: Path, verify: bool) -> None:
    checksum = model.save(tmp_path / "model")
    loaded = factory.load(tmp_path / "model", verify=verify)
    assert type(loaded) is type(model)
    assert loaded.parameters == model.parameters
    assert_same(model.recommend(EVERYBODY, 10), loaded.recommend(EVERYBODY, 10))
    assert_same(model.similar_items(DATA.items.ids, 10), loaded.similar_items(DATA.items.ids, 10))
    history = History.of(DATA.items.ids[[1, 5]])
    assert_same(model.recommend_from([history], 10), loaded.recommend_from([history], 10))
    product = int(model.recommend(EVERYBODY[:1], 1).products[0, 0])
    assert model.explain(int(EVERYBODY[0]), product) == loaded.explain(int(EVERYBODY[0]), product)
    assert loaded.save(tmp_path / "again") == checksum


def test_same_data_and_seed_give_the_same_checksum_in_another_process(tmp_path: Path) -> None:
    here = {name: factory.create(name).fit(two_tastes()).save(tmp_path / name) for name in ALGORITHMS}
    program = (
        "import json, sys, tempfile; from pathlib import Path; from models import factory\n"
        "from tests.models.data import two_tastes\n"
        "folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))\n"
        "sums = {n: factory.create(n).fit(two_tastes()).save(folder / n) for n in factory.algorithms()}\n"
        "sys.stdout.write(json.dumps(sums))\n"
    )
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == here


def test_other_data_give_another_checksum(algorithm: str, tmp_path: Path) -> None:
    model = fitted(algorithm)
    other = factory.create(algorithm).fit(replace(DATA, moment=DATA.moment + 1))
    assert model.save(tmp_path / "a") != other.save(tmp_path / "b")


# --- many at once --------------------------------------------------------------------------------


def test_eight_threads_get_what_one_gets(model: Recommender) -> None:
    alone = [model.recommend([user], 10, exclude="seen") for user in EVERYBODY]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            together = list(pool.map(lambda user: model.recommend([user], 10, exclude="seen"), EVERYBODY))
            for one, other in zip(alone, together, strict=True):
                assert_same(one, other)


def test_memory_does_not_grow_with_the_number_of_users(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", 64 * 1024)
    wide = 1_000
    bought = [
        (user, (7 * user + 3 * step) % 90, "purchase", float(step))
        for user in range(USERS)
        for step in range(8)
    ]
    data = dataset(bought, users=USERS, items=wide)
    model = factory.create(algorithm).fit(data)
    model.recommend(data.users.ids, 1)
    some, more = (_peak_bytes(model, np.tile(data.users.ids, times)) for times in (20, 60))
    # ids, rows, the answer and a share of the block take some 200 bytes a user; a row of scores takes 4,000
    assert (more - some) / (40 * USERS) < 1_000


def _peak_bytes(model: Recommender, users: npt.NDArray[np.int64]) -> int:
    tracemalloc.start()
    try:
        model.recommend(users, 1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
