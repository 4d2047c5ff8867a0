"""The Complete Journey: trained to week 44, judged on weeks 45 to 48, with repeats and for new products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.interactions import MICROSECONDS_PER_DAY
from models.base import Recommender
from training.evaluation.metrics import find_hits, per_user
from training.evaluation.significance import PairedDifference, bootstrap_interval, compare, format_p, holm
from training.evaluation.splits import VIEWS, Split
from training.paper_benchmarks.chosen_settings import BenchmarkSettings
from training.paper_benchmarks.complete_journey_data import JourneyData
from training.paper_benchmarks.runner import Result, metered

__all__ = ["TASKS", "Comparisons", "compared", "document", "headlines", "lines", "run", "slices", "tests"]

K = 20
METRICS = ("ndcg", "recall")
TASKS = (f"ndcg@{K}", f"new_ndcg@{K}", f"cold_items_ndcg@{K}")
CONTENT = ("cold_items", "content")
COLD_USER_EVENTS = 5
COLD_ITEM_DAYS = 28.0

Progress = Callable[[str], None]


def run(
    journey: JourneyData, settings: BenchmarkSettings, names: list[str], *, progress: Progress
) -> list[Result]:
    """Fit each model of the settings on the training weeks and judge it on the test weeks, both tasks.

    Figures: ndcg@20 and recall@20 with repeats, with the prefix `new_` for products new to the user, and
    ndcg@20 of cold users (`cold_users_`) and of cold products (`cold_items_`, new to the user).
    """
    split = journey.split
    split.train.fingerprint  # noqa: B018 - computed once and kept, so that no fit pays for it
    cold = slices(split)
    results: list[Result] = []
    for name in names:
        progress(f"fit {name}")
        model = settings.models[name].create()
        with metered() as meter:
            model.fit(split.train)
        progress(f"judge {name}")
        values = _judge(model, split, cold)
        figures = {figure: float(value.mean()) for figure, value in values.items() if value.size}
        note = getattr(model, "reason_", "") if model.algorithm == "hybrid" else ""
        results.append(Result(name, figures, meter.seconds, meter.peak_mib, note, values))
    return results


@dataclass(frozen=True, eq=False)
class Cold:
    """Users and items with little or no history.

    Attributes
    ----------
    users : bool, shape (users of the view `all`,)
        At most five events in the training weeks.
    items : bool, shape (items,)
        First sold in the last four training weeks.
    """

    users: npt.NDArray[np.bool_]
    items: npt.NDArray[np.bool_]


def slices(split: Split) -> Cold:
    """Who and what is cold at the cutoff."""
    events = split.train.events
    done = np.bincount(events.user[events.user >= 0], minlength=len(split.train.users))
    asked = split.train.users.index(split.folds["all"].users)
    first = np.full(len(split.train.items), np.iinfo(np.int64).max)
    np.minimum.at(first, events.item, events.time)
    since = split.cutoff - round(COLD_ITEM_DAYS * MICROSECONDS_PER_DAY)
    return Cold(done[asked] <= COLD_USER_EVENTS, (first > since) & (first <= split.cutoff))


def _judge(model: Recommender, split: Split, cold: Cold) -> dict[str, npt.NDArray[np.float64]]:
    values: dict[str, npt.NDArray[np.float64]] = {}
    for view in VIEWS:
        fold = split.folds[view]
        exclude: Literal["seen"] | None = "seen" if view == "new" else None
        ranking = model.recommend(fold.users, K, exclude=exclude)
        found = _figures(split, fold.relevant, ranking.products)
        values |= {("new_" if view == "new" else "") + name: value for name, value in found.items()}
        if view == "all":
            values[f"cold_users_ndcg@{K}"] = found[f"ndcg@{K}"][cold.users]
    fresh = split.folds["new"]
    right = sparse.csr_matrix(fresh.relevant.multiply(cold.items[None, :]))
    right.eliminate_zeros()
    asked = np.flatnonzero(np.diff(right.indptr))
    if asked.size:  # of cold products only: which of them each user took up
        only = split.train.items.ids[cold.items]
        ranking = model.recommend(fresh.users[asked], K, exclude="seen", only=only)
        right = right[asked]
        right.sort_indices()
        values[f"cold_items_ndcg@{K}"] = _figures(split, right, ranking.products)[f"ndcg@{K}"]
    return values


def _figures(
    split: Split, relevant: sparse.csr_matrix, products: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    sizes = np.diff(relevant.indptr).astype(np.int64)
    values = per_user(find_hits(split.train.items.index(products), relevant), sizes, [K])
    return {f"{name}@{K}": values[name][:, 0] for name in METRICS}


@dataclass(frozen=True)
class Comparisons:
    """One figure of `model`: its best rival, and per rival the paired comparison and Holm's p-value."""

    figure: str
    model: str
    best: str
    ratio: float
    against: dict[str, tuple[PairedDifference, float]]


def tests(results: list[Result], seed: int) -> list[Comparisons]:
    """Compare the hybrid with every other model by each task.

    On cold products, compare the models that use content with popularity.
    """
    found = [compared(results, "hybrid", task, seed=seed) for task in TASKS]
    found += [compared(results, name, TASKS[2], rivals=("popularity",), seed=seed) for name in CONTENT]
    return [each for each in found if each is not None]


def compared(
    results: list[Result],
    model: str,
    figure: str,
    *,
    rivals: Sequence[str] | None = None,
    draws: int = 10_000,
    seed: int = 1,
) -> Comparisons | None:
    """Compare `model` with `rivals`, or with every other result, by `figure`, paired by user.

    Parameters
    ----------
    rivals
        Names of models; None: all others.
    draws, seed
        Of the tests.

    Returns
    -------
    Comparisons or None
        None where there is nothing to compare.
    """
    mine = next((result for result in results if result.model == model), None)
    others = [
        result
        for result in results
        if result.model != model and figure in result.figures and (rivals is None or result.model in rivals)
    ]
    if mine is None or figure not in mine.figures or not others:
        return None
    tests = [compare(mine.per_user[figure], o.per_user[figure], draws=draws, seed=seed) for o in others]
    adjusted = holm([test.p_value for test in tests])
    best = max(others, key=lambda result: result.figures[figure])
    ratio = mine.figures[figure] / best.figures[figure] if best.figures[figure] > 0 else float("inf")
    named = {o.model: (t, p) for o, t, p in zip(others, tests, adjusted, strict=True)}
    return Comparisons(figure, model, best.model, ratio, named)


def intervals(result: Result, *, draws: int = 2_000, seed: int = 1) -> dict[str, tuple[float, float]]:
    """The 95% bootstrap interval over users of each figure."""
    found = {}
    for name, values in result.per_user.items():
        if values.size:
            low, high = bootstrap_interval(values[:, None], draws=draws, seed=seed)
            found[name] = (float(low[0]), float(high[0]))
    return found


def headlines(result: Result) -> dict[str, float]:
    """The NDCG of each task under a short name, for a table."""
    names = {"any": "", "new": "new_", "cold users": "cold_users_", "cold items": "cold_items_"}
    figures = {name: f"{prefix}ndcg@{K}" for name, prefix in names.items()}
    return {name: result.figures[figure] for name, figure in figures.items() if figure in result.figures}


def document(
    journey: JourneyData, results: list[Result], tests: list[Comparisons], seed: int
) -> dict[str, Any]:
    """Everything as plain JSON values."""
    models = [
        result.as_json() | {"intervals": {k: list(v) for k, v in intervals(result, seed=seed).items()}}
        for result in results
    ]
    cold = slices(journey.split)
    return {
        "models": models,
        "comparisons": [
            {
                "figure": test.figure,
                "model": test.model,
                "best_other": test.best,
                "ratio": test.ratio,
                "against": {
                    name: {
                        "difference": c.difference,
                        "low": c.low,
                        "high": c.high,
                        "p": c.p_value,
                        "p_holm": p,
                    }
                    for name, (c, p) in test.against.items()
                },
            }
            for test in tests
        ],
        "users": journey.split.users,
        "cold_users": int(cold.users.sum()),
        "cold_items": int(cold.items.sum()),
        "refused_lines": journey.refused,
    }


def lines(results: list[Result], tests: list[Comparisons], seed: int) -> list[str]:
    """For people: intervals, comparisons with the best other model, and what the hybrid chose."""
    printed = []
    for result in results:
        found = intervals(result, seed=seed)
        bounds = ", ".join(
            f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in found.items() if "ndcg" in name
        )
        printed.append(f"{result.model}, 95% intervals: {bounds}")
        if result.note:
            printed.append(f"{result.model}: {result.note}")
    for test in tests:
        best, adjusted = test.against[test.best]
        printed.append(
            f"{test.figure}: {test.model} is {test.ratio:.3f} times {test.best}, {best.difference:+.4f} "
            f"({best.low:+.4f} to {best.high:+.4f}), "
            f"{format_p(adjusted, best.floor * len(test.against))} after Holm"
        )
    return printed
