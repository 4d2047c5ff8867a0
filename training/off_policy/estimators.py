"""Estimators of what a target policy would have earned on the first places of logged lists.

The weight of place k is the product of the target's chance over the log's chance of each place up to k. It is
unbiased wherever what happens at a place depends on no later place, as when people read a list from the top:

- IPS: the mean of weight times reward (Swaminathan & Joachims 2015, "Batch learning from logged bandit
  feedback through counterfactual risk minimization", JMLR 16, section 3; weights are clipped as there).
- SNIPS: divided by the mean weight, place by place: reward interaction IPS of McInerney et al. (2020),
  "Counterfactual evaluation of slate recommendations with sequential reward interactions", KDD, section 4.
- DR: doubly robust (Dudík, Langford & Li 2011, "Doubly robust policy evaluation and learning", ICML, section
  3), with the weights of places (Kiyohara et al. 2022, "Doubly robust off-policy evaluation for ranking
  policies under the cascade behavior model", WSDM, section 4).

Intervals resample visitors: the lists of one are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "OffPolicyEstimates", "PlaceSupport", "estimate"]

Values = npt.NDArray[np.float64]
CHUNK = 2_000_000
"""Resampling weights held in memory at once (float64: 16 MB)."""


@dataclass(frozen=True)
class Estimate:
    """A value per list, with its 95% bootstrap interval (percentiles)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PlaceSupport:
    """How much the log says about one place.

    Attributes
    ----------
    place
        From 1.
    mean_weight
        Mean of the clipped weights, with its interval; 1 in expectation where the log has support and nothing
        is clipped.
    effective_lists, effective_visitors
        (Σw)² / Σw², of lists and of the visitors' sums, before clipping; from 1 to how many there are (Kong
        1992, "A note on importance sampling using standardized weights").
    largest_weight
        Before it was clipped.
    clipped
        Share of lists whose weight was clipped, 0 to 1.
    """

    place: int
    mean_weight: Estimate
    effective_lists: float
    effective_visitors: float
    largest_weight: float
    clipped: float


@dataclass(frozen=True)
class OffPolicyEstimates:
    """Rewards per list on the first places together, in the unit of the rewards.

    Attributes
    ----------
    ips, snips, doubly_robust
        What the target would have earned, by each estimator.
    logged
        The mean of the log itself.
    gain
        The doubly robust estimate minus `logged`, resampled together.
    places
        What the log says about each place.
    """

    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    logged: Estimate
    gain: Estimate
    places: tuple[PlaceSupport, ...]


def estimate(
    visitors: npt.NDArray[np.int64],
    rewards: Values,
    ratios: Values,
    fitted: Values,
    expected: Values,
    *,
    clip: float,
    draws: int,
    seed: int,
) -> OffPolicyEstimates:
    """Estimate the value of a policy from n lists with K places.

    Parameters
    ----------
    visitors : int64, shape (n,)
        Whose list each is.
    rewards : float64, shape (n, K)
        Of the displayed products; 0 where a list is shorter.
    ratios : float64, shape (n, K)
        The target's chance of the displayed product over the log's, both given the places before it, 0 or
        more; 1 where both fix the place.
    fitted : float64, shape (n, K)
        The reward that a model expects of the displayed product; 0 at fixed places.
    expected : float64, shape (n, K)
        Its mean over the target's chances at that place; 0 at fixed places.
    clip
        Weights above it count as it.
    draws, seed
        Of the bootstrap.

    Returns
    -------
    OffPolicyEstimates
        In the unit of `rewards`, per list; all places together.

    Raises
    ------
    ValueError
        Without lists, for other shapes, and where all weights of a place are 0.
    """
    if rewards.ndim != 2 or not rewards.size:
        raise ValueError("an estimate needs at least one list with one place")
    if not (
        ratios.shape == fitted.shape == expected.shape == rewards.shape == (visitors.size, rewards.shape[1])
    ):
        raise ValueError("rewards, ratios, fitted and expected rewards must have one shape")
    exact: Values = np.cumprod(ratios, axis=1, dtype=np.float64)
    if not exact.sum(axis=0).all():
        raise ValueError("the log has no list that the target could have displayed")
    weights = np.minimum(exact, clip)
    before = np.hstack([np.ones((visitors.size, 1)), weights[:, :-1]])
    robust = (weights * (rewards - fitted) + before * expected).sum(axis=1)
    _, row = np.unique(visitors, return_inverse=True)
    per_list = np.column_stack(
        [np.ones(visitors.size), rewards.sum(axis=1), robust, weights, weights * rewards]
    )
    sums = _sums(per_list, row)
    value, resampled = _figures(sums.sum(axis=0)[None]), _resampled(sums, draws, seed)
    intervals = {
        name: Estimate(float(value[name][0]), *np.quantile(resampled[name], [0.025, 0.975]).tolist())
        for name in value
    }
    places = tuple(
        PlaceSupport(
            place + 1,
            intervals[f"mean_weight_{place}"],
            _effective(exact[:, place]),
            _effective(_sums(exact[:, [place]], row)[:, 0]),
            float(exact[:, place].max()),
            float(np.mean(exact[:, place] > clip)),
        )
        for place in range(rewards.shape[1])
    )
    return OffPolicyEstimates(
        intervals["ips"], intervals["snips"], intervals["doubly_robust"], intervals["logged"],
        intervals["gain"], places,
    )  # fmt: skip


def _sums(values: Values, row: npt.NDArray[np.intp]) -> Values:
    """The sums of each visitor, (visitors, columns)."""
    sums = np.zeros((int(row.max()) + 1, values.shape[1]))
    np.add.at(sums, row, values)
    return sums


def _figures(sums: Values) -> dict[str, Values]:
    """The estimates of each row of sums over some lists, float64 (rows,) each."""
    lists, logged, robust = sums[:, 0], sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    weights, rewarded = np.split(sums[:, 3:], 2, axis=1)
    figures = {
        "ips": rewarded.sum(axis=1) / lists,
        "snips": (rewarded / weights).sum(axis=1),
        "doubly_robust": robust,
        "logged": logged,
        "gain": robust - logged,
    }
    return figures | {f"mean_weight_{place}": weights[:, place] / lists for place in range(weights.shape[1])}


def _resampled(sums: Values, draws: int, seed: int) -> dict[str, Values]:
    """The estimates of so many resamples of the visitors, float64 (draws,) each."""
    visitors, generator = sums.shape[0], np.random.default_rng(seed)
    # multinomial weights are a bootstrap; a few draws at a time bound the memory
    step = max(1, CHUNK // visitors)
    parts = []
    for first in range(0, draws, step):
        size = min(step, draws - first)
        drawn = generator.multinomial(visitors, np.full(visitors, 1 / visitors), size=size).astype(np.float64)
        parts.append(_figures(drawn @ sums))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _effective(weights: Values) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())
