"""Gowalla, the published split: every unseen item ranked for every user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.hybrid.blend import Blend, Pool, pool
from models.results import Ranking
from recsys.errors import Invalid
from training.evaluation.metrics import find_hits
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings
from training.paper_benchmarks.datasets import open_text, purchases, whole_numbers
from training.paper_benchmarks.runner import Result, judged, metered
from training.paper_benchmarks.tuning import GAIN, Search, search

__all__ = ["GowallaSplit", "choose", "learn_blend", "read", "run", "validation_fold"]

K = 20
LIST = 100
METRICS = ("recall", "ndcg")
FIGURE = "ndcg@20"

Progress = Callable[[str], None]
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class GowallaSplit:
    """What is learned from, and for the same users, csr (users, items), what should be found."""

    train: Dataset
    relevant: sparse.csr_matrix


def read(folder: Path) -> GowallaSplit:
    """Read train.txt and test.txt (a line per user: user, then its items; gzip or plain).

    Raises
    ------
    NotFound
        For a missing file.
    Invalid
        For a line that is not numbers, and for a file without pairs.
    """
    user, item = _pairs(folder, "train.txt")
    test_user, test_item = _pairs(folder, "test.txt")
    if not user.size or not test_user.size:
        raise Invalid(f"{folder}: train.txt and test.txt must both hold pairs of a user and an item")
    users = int(max(user.max(), test_user.max())) + 1
    items = int(max(item.max(), test_item.max())) + 1
    return GowallaSplit(purchases(users, items, user, item), _matrix(test_user, test_item, (users, items)))


def validation_fold(train: Dataset, share: float, seed: int, *, blocks: bool = False) -> GowallaSplit:
    """Hold out `share` of each user's train items, at least one of those with two or more.

    At random, or with `blocks` as one run of neighbouring item numbers, round the end, from a random start.
    The files number items as they were first met, so neighbours belong to one trip or one person's round;
    leaving a trip's other half in train makes a fold far easier for neighbourhood models than the test is.
    """
    user, item = np.asarray(train.events.user, np.int64), np.asarray(train.events.item, np.int64)
    rng = np.random.default_rng(seed)
    key = item if blocks else rng.random(user.size)
    order = np.lexsort((key, user))
    user, item = user[order], item[order]
    place = np.arange(user.size) - np.searchsorted(user, user)
    count = np.bincount(user, minlength=len(train.users))
    start = np.floor(rng.random(count.size) * count).astype(np.int64) if blocks else np.zeros_like(count)
    size = np.where(count > 1, np.maximum(1, np.floor(count * share)), 0)
    held = (place - start[user]) % count[user] < size[user]
    shape = (len(train.users), len(train.items))
    kept = purchases(*shape, user[~held], item[~held])
    return GowallaSplit(kept, _matrix(user[held], item[held], shape))


def run(
    split: GowallaSplit, settings: BenchmarkSettings, names: Sequence[str], *, blend: bool, progress: Progress
) -> list[Result]:
    """Fit and judge the models `names`, and the blend of those that `settings.blend` weighs.

    A model's seconds are those of its fit; the blend's are all it takes, members' fits and lists included.
    """
    results: list[Result] = []
    lists: dict[str, Ranking] = {}
    spent: dict[str, float] = {}
    members = settings.blend if blend else {}
    for name in dict.fromkeys([*names, *members]):
        progress(f"fitting {name}")
        ranking, result, spent[name] = _ranked(name, settings.models[name], split)
        results.append(result)
        if name in members:
            lists[name] = ranking
    if members:
        progress("blending")
        with metered() as meter:
            ranking = Blend(members).rank(pool([lists[name] for name in members]), K)
        seconds = meter.seconds + sum(spent[name] for name in members)
        peak = max(meter.peak_mib, *(result.peak_rss_mib for result in results if result.model in members))
        note = "here: " + ", ".join(f"{name} {weight:g}" for name, weight in members.items())
        results.append(_result("hybrid", ranking, split, seconds, peak, note))
    return results


def choose(
    split: GowallaSplit, settings: BenchmarkSettings, names: Sequence[str], *, progress: Progress
) -> dict[str, Search]:
    """Search the settings of those of `names` that have a space, on the validation fold of train alone.

    Models are fitted on the whole fold and judged on a sample of its users, `search_on` of the settings;
    `search_gain` is the relative gain that so many users can tell.
    """
    fold = _fold(split, settings)
    sample = _sample(fold, settings, int(settings.validation.get("search_on", 4_000)))
    gain = float(settings.validation.get("search_gain", GAIN))
    return {
        name: search(
            name,
            settings.search[name],
            _judge(settings.models[name], fold, sample, progress),
            FIGURE,
            gain=gain,
        )
        for name in names
        if name in settings.search
    }


def _judge(
    model: ModelSettings, fold: GowallaSplit, sample: npt.NDArray[np.int64], progress: Progress
) -> Callable[[Mapping[str, Any]], Result]:
    def judge(parameters: Mapping[str, Any]) -> Result:
        fitted = replace(model, parameters=dict(parameters)).create()
        with metered() as meter:
            fitted.fit(fold.train)
        ranking = fitted.recommend(fold.train.users.ids[sample], K, exclude="seen")
        part = GowallaSplit(fold.train, fold.relevant[sample])
        result = _result(model.name, ranking, part, meter.seconds, meter.peak_mib)
        progress(f"{model.name} {dict(parameters)}: {FIGURE} {result.figures[FIGURE]:.5f}")
        return result

    fold.train.fingerprint  # noqa: B018 - computed once and kept, so that no point pays for it
    return judge


def learn_blend(
    split: GowallaSplit, settings: BenchmarkSettings, names: Sequence[str], *, progress: Progress
) -> tuple[Blend, list[Result]]:
    """Weights of the models `names`, learned on the validation fold of train alone."""
    fold = _fold(split, settings)
    lists: list[Ranking] = []
    results: list[Result] = []
    for name in names:
        progress(f"fitting {name} without the validation fold")
        ranking, result, _ = _ranked(name, settings.models[name], fold)
        lists.append(ranking)
        results.append(replace(result, note="validation"))
    progress("learning the weights")
    sample = _sample(fold, settings, int(settings.validation.get("learn_on", 10_000)))
    candidates = pool([Ranking(r.queries[sample], r.products[sample], r.scores[sample]) for r in lists])
    blend = Blend.learn(names, *_labelled(candidates, fold.relevant[sample]), k=K)
    every = pool(lists)
    results.append(_result("hybrid", blend.rank(every, K), fold, 0.0, 0.0, "validation"))
    return blend, results


def _fold(split: GowallaSplit, settings: BenchmarkSettings) -> GowallaSplit:
    cut = settings.validation
    return validation_fold(split.train, cut["share"], cut["seed"], blocks=cut.get("blocks", False))


def _sample(fold: GowallaSplit, settings: BenchmarkSettings, size: int) -> npt.NDArray[np.int64]:
    """Rows of `size` users at random of those with anything held out, increasing, int64."""
    asked = np.flatnonzero(np.diff(fold.relevant.indptr) > 0)
    return np.sort(np.random.default_rng(settings.validation["seed"]).permutation(asked)[:size])


def _labelled(
    candidates: Pool, relevant: sparse.csr_matrix
) -> tuple[Pool, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    return candidates, find_hits(candidates.products, relevant), np.diff(relevant.indptr).astype(np.int64)


def _ranked(name: str, model_settings: ModelSettings, split: GowallaSplit) -> tuple[Ranking, Result, float]:
    """Lists of every user, their figures, and the seconds of the fit and of the lists together."""
    split.train.fingerprint  # noqa: B018 - computed once and kept, so that no model pays for it
    model = model_settings.create()
    with metered() as fit:
        model.fit(split.train)
    with metered() as rank:
        ranking = model.recommend(split.train.users.ids, LIST, exclude="seen")
    peak = max(fit.peak_mib, rank.peak_mib)
    return ranking, _result(name, ranking, split, fit.seconds, peak), fit.seconds + rank.seconds


def _result(
    name: str, ranking: Ranking, split: GowallaSplit, seconds: float, peak: float, note: str = ""
) -> Result:
    values = judged(ranking, split.relevant, K, METRICS)
    figures = {metric: float(value.mean()) for metric, value in values.items()}
    return Result(name, figures, seconds, peak, note, values)


def _pairs(folder: Path, name: str) -> Pairs:
    users: list[int] = []
    items: list[int] = []
    with open_text(folder, name) as lines:
        for number, line in enumerate(lines, 1):
            values = whole_numbers(line, f"{folder / name}, line {number}")
            users += values[:1] * (len(values) - 1)
            items += values[1:]
    return np.array(users, dtype=np.int64), np.array(items, dtype=np.int64)


def _matrix(
    user: npt.NDArray[np.int64], item: npt.NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_matrix:
    ones = np.ones(user.size, dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (user, item)), shape=shape)
    matrix.sort_indices()
    return matrix
