"""Two models on the same users: which is better in what, or that this test cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.errors import Invalid
from training.evaluation.evaluator import Evaluation, ViewResult
from training.evaluation.significance import PairedDifference, compare, format_p, holm_adjusted
from training.evaluation.splits import VIEWS, View
from training.evaluation.summary import HIGHER_IS_BETTER, LABELS, mean_by_user

__all__ = ["Duel", "DuelRow", "compare_evaluations", "pooled"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DuelRow:
    """One metric in one view at cut-off k: means, the paired test, and what it could have found.

    Attributes
    ----------
    users
        Users for whom both models have the metric.
    a, b
        Means of the two models over these users, in the unit of the metric, as the following ones.
    difference
        Mean of a − b.
    low, high
        Its 95% interval.
    p_value
        Two-sided, Holm-adjusted for all rows of the table; above 0, at most 1.
    smallest
        The smallest true difference found with 80% power (`significance.DETECTABLE`), in the unit of the
        metric; None for one user.
    better
        a, b, or tie; "different" where neither end of the metric is good by itself.
    floor
        The smallest p-value that the draws can give.
    """

    view: View
    metric: str
    k: int
    users: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    smallest: float | None
    better: Literal["a", "b", "tie", "different"]
    floor: float = 0.0


@dataclass(frozen=True)
class Duel:
    """The verdict on the one primary metric, chosen before the test and so not adjusted, and all the rows."""

    a: str
    b: str
    metric: str
    view: View
    k: int
    verdict: Literal["a", "b", "tie"]
    words: str
    primary: PairedDifference
    rows: list[DuelRow]


def compare_evaluations(
    name_a: str,
    a: Evaluation,
    name_b: str,
    b: Evaluation,
    *,
    metric: str,
    view: View,
    k: int,
    draws: int,
    seed: int,
    level: float = 0.05,
) -> Duel:
    """Compare two evaluations of the same split. Raises Invalid for other users, an unknown metric or k."""
    if a.ks != b.ks or k not in a.ks:
        raise Invalid(f"k is {k}; the evaluations have {list(a.ks)} and {list(b.ks)}: choose one of both")
    raw: list[tuple[View, str, Values, Values, PairedDifference]] = []
    for each in VIEWS:
        first, second = a.views[each], b.views[each]
        if not np.array_equal(first.users, second.users):
            raise Invalid("the two models were not tested on the same users; test both on the same split")
        raw += [
            (each, name, mine, theirs, compare(mine, theirs, draws=draws, seed=seed))
            for name, mine, theirs in _shared(first, second, a.ks.index(k))
        ]
    main = next((one for one in raw if one[:2] == (view, metric)), None)
    if main is None:
        known = sorted({name for each, name, *_ in raw if each == view})
        raise Invalid(
            f"{metric!r} in the view {view!r} was measured for no user; known: {', '.join(known) or 'none'}"
        )
    adjusted = holm_adjusted([one for *_, one in raw])
    rows = [
        DuelRow(
            each,
            name,
            k,
            int(mine.size),
            float(mine.mean()),
            float(theirs.mean()),
            one.difference,
            one.low,
            one.high,
            one.p_value,
            one.smallest,
            _better(name, one.difference, one.p_value < level),
            one.floor,
        )
        for (each, name, mine, theirs, _), one in zip(raw, adjusted, strict=True)
    ]
    verdict, words = _verdict(name_a, name_b, main[4], metric, view, k, level)
    return Duel(name_a, name_b, metric, view, k, verdict, words, main[4], rows)


def _shared(a: ViewResult, b: ViewResult, column: int) -> list[tuple[str, Values, Values]]:
    """Metrics that both have, for the users for whom both are defined."""
    first, second = {**a.values, **a.quality}, {**b.values, **b.quality}
    found = []
    for name in first:
        if name not in second:
            continue
        mine, theirs = first[name][:, column], second[name][:, column]
        both = ~(np.isnan(mine) | np.isnan(theirs))
        if both.any():
            found.append((name, mine[both], theirs[both]))
    return found


def _better(metric: str, difference: float, significant: bool) -> Literal["a", "b", "tie", "different"]:
    if not significant:
        return "tie"
    higher = HIGHER_IS_BETTER.get(metric)
    if higher is None:
        return "different"
    return "a" if (difference > 0) == higher else "b"


def _verdict(
    a: str, b: str, one: PairedDifference, metric: str, view: View, k: int, level: float
) -> tuple[Literal["a", "b", "tie"], str]:
    what = f"{LABELS.get(metric, metric)}@{k} ({'all products' if view == 'all' else 'new to the user'})"
    better = _better(metric, one.difference, one.p_value < level)
    if better == "different":
        raise Invalid(f"{metric!r} has no better direction, so it cannot decide; choose an accuracy metric")
    if better == "tie":
        if one.difference == one.low == one.high == 0.0:
            return "tie", f"a tie: {a} and {b} have the same {what} for every user"
        found = "" if one.smallest is None else f"; it would have found a difference of {one.smallest:.4f}"
        return "tie", (
            f"a tie: this test cannot tell {a} from {b} by {what} (difference {one.difference:+.4f}, "
            f"{format_p(one.p_value, one.floor)}){found} in four of five cases"
        )
    winner, loser = (a, b) if better == "a" else (b, a)
    return better, (
        f"{winner} is better than {loser} by {abs(one.difference):.4f} {what} "
        f"(95% interval {min(abs(one.low), abs(one.high)):.4f} to {max(abs(one.low), abs(one.high)):.4f}, "
        f"{format_p(one.p_value, one.floor)})"
    )


def pooled(evaluations: list[Evaluation]) -> Evaluation:
    """Several periods as one: each user counts once, with the mean of their values over the periods.

    Totals are means over the periods, exposure their sum; lists are those of each user's last period.
    """
    if len(evaluations) == 1:
        return evaluations[0]
    return Evaluation(
        evaluations[0].ks,
        {view: _pooled([one.views[view] for one in evaluations]) for view in evaluations[0].views},
    )


def _pooled(results: list[ViewResult]) -> ViewResult:
    everyone = np.concatenate([one.users for one in results])
    users, first_from_behind = np.unique(everyone[::-1], return_index=True)
    last = everyone.size - 1 - first_from_behind

    def mean(name: str, group: str) -> Values:
        return mean_by_user(everyone, np.concatenate([getattr(one, group)[name] for one in results]))[1]

    quality = set.intersection(*(set(one.quality) for one in results))
    totals = {name: np.mean([one.totals[name] for one in results], axis=0) for name in results[0].totals}
    exposure = (
        np.sum([one.exposure for one in results], axis=0)
        if len({one.exposure.shape for one in results}) == 1
        else np.zeros((0, 0), np.int64)
    )
    return ViewResult(
        users,
        np.concatenate([one.sizes for one in results])[last],
        {name: mean(name, "values") for name in results[0].values},
        totals["coverage"],
        np.concatenate([one.scores for one in results])[last],
        np.concatenate([one.products for one in results])[last],
        np.concatenate([one.hits for one in results])[last],
        {name: mean(name, "quality") for name in results[0].quality if name in quality},
        totals,
        {name: why for one in results for name, why in one.unknown.items()},
        exposure,
        sum(one.seconds for one in results),
    )
