"""How many visitors an interleaved experiment needs beside an A/B test, where the better model is known.

In a shop of `recsys simulate` the tastes are known. Two models rank by them with noise of different size, so
the one with less noise is better. Visitors come day by day, each with one list, and click on a product with a
chance that falls with its place and rises with their taste for it. Each experiment is looked at every day,
with the inference of `recsys train live`, until it is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from models.ranking.interleaving import METHODS, interleave
from recsys.domains.recommendations.ab_tests.sample_size import LEVEL
from recsys.errors import Invalid
from recsys.simulation.truth import ShopTruth
from training.online.ab_verdict import LEAST_EACH, LEAST_USERS
from training.online.inference.confidence_sequences import half_width
from training.online.interleaved_verdict import LEAST_CHOICES

__all__ = ["DesignFigures", "StudyFigures", "StudyTerms", "study"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
POOL = 16
"""Interleaved lists of each user, of which a visit has one."""


@dataclass(frozen=True)
class StudyTerms:
    """What is simulated.

    Attributes
    ----------
    control_noise, challenger_noise
        Standard deviation of what is added to the logarithms of true chances, 0 or more.
    places
        Of a list.
    click_rate
        Chance of a click on a user's best product at the first place, above 0 and at most 1.
    per_day
        Visitors of a day.
    days
        Days of an experiment.
    runs
        Experiments of each kind.
    """

    control_noise: float = 1.0
    challenger_noise: float = 0.7
    places: int = 10
    click_rate: float = 0.1
    per_day: int = 1_000
    days: int = 60
    runs: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse terms that nothing can be simulated of."""
        if min(self.places, self.per_day, self.days, self.runs) < 1 or not 0 < self.click_rate <= 1:
            raise Invalid(
                "expected at least one place, visitor, day and run, and a click rate above 0 and up to 1"
            )
        if min(self.control_noise, self.challenger_noise) < 0:
            raise Invalid("expected noise of 0 or more")


@dataclass(frozen=True)
class DesignFigures:
    """One design of an experiment.

    Attributes
    ----------
    decided
        Share of the runs that found the better model within the days.
    wrong
        Share of the runs that found the other.
    visitors
        Median of visitors until it was found, None where most runs did not.
    times_fewer
        The A/B test's median by this one; None where either is not known.
    false_alarms
        Runs with two equal models that found a difference at any look, of `runs`.
    runs
        Experiments of each kind.
    false_alarms_bound
        95% upper bound of the share of false alarms (Clopper & Pearson).
    """

    name: str
    decided: float
    wrong: float
    visitors: float | None
    times_fewer: float | None
    false_alarms: int
    runs: int
    false_alarms_bound: float


@dataclass(frozen=True)
class StudyFigures:
    """The designs, the A/B test first; and clicking visitors of each model, as a share."""

    control_clicks: float
    challenger_clicks: float
    designs: list[DesignFigures]


@dataclass(frozen=True)
class _Pool:
    """Lists of all users.

    Attributes
    ----------
    control, challenger : float64, shape (users, places)
        The chance of a click on each place.
    interleaved : two of float64, shape (users, lists, places), by design
        These chances and the credits of several lists.
    """

    control: Floats
    challenger: Floats
    interleaved: dict[str, tuple[Floats, Floats]]


def study(truth: ShopTruth, terms: StudyTerms, *, progress: Callable[[str], None] = print) -> StudyFigures:
    """Simulate experiments of a better model, and of two equal ones.

    Parameters
    ----------
    progress
        Called with what is done.

    Raises
    ------
    Invalid
        For a shop with fewer products than two lists have places.
    """
    if truth.parameters.products < 2 * terms.places:
        raise Invalid(
            f"the shop has {truth.parameters.products} products: expected at least twice the "
            f"{terms.places} places of a list"
        )
    progress("lists of both models")
    differing = _pool(truth, terms, (terms.control_noise, terms.challenger_noise))
    equal = _pool(truth, terms, (terms.control_noise, terms.control_noise))
    sign = 1.0 if terms.challenger_noise <= terms.control_noise else -1.0
    designs: list[DesignFigures] = []
    for name in ("A/B test", *(f"interleaved, {method}" for method in METHODS)):
        progress(name)
        first_looks = [_first_look(name, differing, terms, run, swap=False) for run in range(terms.runs)]
        alarms = sum(
            _first_look(name, equal, terms, run, swap=True)[0] is not None for run in range(terms.runs)
        )
        visitors = _median(
            [look if direction == sign else None for look, direction in first_looks], terms.per_day
        )
        base = designs[0].visitors if designs else visitors
        designs.append(
            DesignFigures(
                name=name,
                decided=sum(look is not None and way == sign for look, way in first_looks) / terms.runs,
                wrong=sum(look is not None and way != sign for look, way in first_looks) / terms.runs,
                visitors=visitors,
                times_fewer=None if base is None or visitors is None else base / visitors,
                false_alarms=alarms,
                runs=terms.runs,
                false_alarms_bound=binomtest(alarms, terms.runs).proportion_ci(0.9, method="exact").high,
            )
        )
    return StudyFigures(
        control_clicks=float((1 - np.prod(1 - differing.control, axis=-1)).mean()),
        challenger_clicks=float((1 - np.prod(1 - differing.challenger, axis=-1)).mean()),
        designs=designs,
    )


def _pool(truth: ShopTruth, terms: StudyTerms, noise: tuple[float, float]) -> _Pool:
    generator = np.random.default_rng([terms.seed, 1])
    users = np.arange(truth.parameters.users)
    chances = truth.view_probabilities(users, truth.parameters.days).astype(np.float64)
    best = chances.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        logarithm = np.log(chances)
    ranked = [
        np.argsort(-(logarithm + deviation * generator.normal(size=chances.shape)), axis=1, kind="stable")
        for deviation in noise
    ]
    examined = 1 / np.log2(np.arange(terms.places) + 2)

    def clicks(lists: Rows) -> Floats:
        relative = np.take_along_axis(chances, lists.reshape(users.size, -1), axis=1) / best
        seen: Floats = terms.click_rate * relative.reshape(lists.shape) * examined
        return seen

    mixed: dict[str, tuple[Floats, Floats]] = {}
    for method in METHODS:
        lists = np.empty((users.size, POOL, terms.places), np.int64)
        credit = np.empty(lists.shape)
        for user in users.tolist():
            control, challenger = (each[user, : 2 * terms.places].tolist() for each in ranked)
            for number in range(POOL):
                places = interleave(control, challenger, terms.places, method=method, generator=generator)
                lists[user, number], credit[user, number] = places.products, places.credits
        mixed[f"interleaved, {method}"] = clicks(lists), credit
    return _Pool(clicks(ranked[0][:, : terms.places]), clicks(ranked[1][:, : terms.places]), mixed)


def _first_look(
    name: str, pool: _Pool, terms: StudyTerms, run: int, *, swap: bool
) -> tuple[int | None, float]:
    """The first look that finds a difference.

    Parameters
    ----------
    name
        Of the design.
    run
        Number of the experiment, for its random numbers.
    swap
        Whether for each visitor a coin decides which model is the challenger, so that both are equal.

    Returns
    -------
    day : int or None
        From 1; None where no look finds one.
    sign : float
        1 for the challenger, -1 for the control, 0 where no look finds one.
    """
    generator = np.random.default_rng([terms.seed, 2 + swap, run])
    visits = terms.per_day * terms.days
    user = generator.integers(pool.control.shape[0], size=visits)
    sign = 1.0 - 2.0 * generator.integers(2, size=visits) if swap else np.ones(visits)
    looks = np.arange(terms.per_day, visits + 1, terms.per_day) - 1
    if name == "A/B test":
        assigned = generator.integers(2, size=visits)
        shown = np.where((assigned ^ (sign < 0))[:, None] == 1, pool.challenger[user], pool.control[user])
        clicked = np.any(generator.random(shown.shape) < shown, axis=1)
        difference, half = _arms_at(looks, assigned, clicked, visits)
    else:
        chances, credit = pool.interleaved[name]
        drawn = generator.integers(POOL, size=visits)
        clicks = generator.random((visits, terms.places)) < chances[user, drawn]
        score = sign * (clicks * credit[user, drawn]).sum(axis=1) / np.maximum(1, clicks.sum(axis=1))
        difference, half = _preference_at(looks, score, visits)
    found = np.flatnonzero(np.abs(difference) > half)
    return (None, 0.0) if found.size == 0 else (int(found[0]) + 1, float(np.sign(difference[found[0]])))


def _arms_at(
    looks: Rows, assigned: Rows, clicked: npt.NDArray[np.bool_], planned: int
) -> tuple[Floats, Floats]:
    """Difference of the arms and half the width of its sequence, as `compare_means` at each look."""
    counts, means, errors, enough = [], [], [], []
    for arm in (0, 1):
        count = np.cumsum(assigned == arm)[looks].astype(np.float64)
        did = np.cumsum(clicked & (assigned == arm))[looks].astype(np.float64)
        mean = did / np.maximum(count, 1)
        counts.append(count)
        means.append(mean)
        errors.append(mean * (1 - mean) / np.maximum(count - 1, 1))
        enough.append((count >= LEAST_USERS) & (did >= LEAST_EACH) & (count - did >= LEAST_EACH))
    users = counts[0] + counts[1]
    deviation = np.sqrt((errors[0] + errors[1]) * users)
    half = half_width(users, deviation, alpha=LEVEL, tuned_for=planned / 2)
    return means[1] - means[0], np.where(enough[0] & enough[1], half, np.inf)


def _preference_at(looks: Rows, score: Floats, planned: int) -> tuple[Floats, Floats]:
    """Mean preference and half the width of its sequence, as `compare_with_zero` at each look."""
    count = looks + 1.0
    mean = np.cumsum(score)[looks] / count
    variance = (np.cumsum(score**2)[looks] - count * mean**2) / (count - 1)
    half = half_width(count, np.sqrt(np.maximum(0, variance)), alpha=LEVEL, tuned_for=planned / 2)
    enough = (np.cumsum(score != 0)[looks] >= LEAST_CHOICES) & (count >= LEAST_USERS)
    return mean, np.where(enough, half, np.inf)


def _median(looks: Sequence[int | None], per_day: int) -> float | None:
    """Median visitors until the look; None where half of the runs or more have none."""
    ordered = sorted(np.inf if look is None else float(look * per_day) for look in looks)
    middle = float(np.median(ordered))
    return middle if np.isfinite(middle) else None
