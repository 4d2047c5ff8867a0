"""Search measured: weights chosen on a validation period, then four orders of matches on the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.errors import Invalid, NotFound
from recsys.settings import Settings, get_settings
from training.evaluation.significance import bootstrap_interval, compare, holm_adjusted
from training.evaluation.splits import Split, time_split
from training.fit.evaluate_registered import experiment_of, model_before
from training.fit.trainer import create
from training.fit.training_data import newest_interactions
from training.progress import Steps
from training.report.search_section import SearchComparison, SearchRanking, SearchSection, SearchTrial
from training.report.sections import Measure
from training.search_evaluation.lists import AGAIN, KS, NEW, QueryPeriod, for_everybody, for_users, values_of
from training.search_evaluation.queries import By, SearchMatches, Words, fame_of, fetch, needs_of, types_of

__all__ = ["PERSONAL_WEIGHTS", "POPULARITY_WEIGHTS", "SearchEvaluationPlan", "measure", "measure_model"]

POPULARITY_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
PERSONAL_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
LEVEL = 0.05
NEARLY = 0.99
"""Of the best: a smaller weight that reaches so much is taken."""
_SEGMENTS: tuple[tuple[Literal["all", "again", "new"], int], ...] = (
    ("all", 0),
    ("again", AGAIN),
    ("new", NEW),
)

Marks = npt.NDArray[np.int8]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SearchEvaluationPlan:
    """How to measure.

    Attributes
    ----------
    by
        What queries are made of.
    test_days
        Days of the test, and of the validation before it.
    choose
        Try weights on the validation period.
    draws, seed
        Of the bootstrap and of the tests.
    """

    by: By = "type"
    test_days: float = 28.0
    choose: bool = True
    draws: int = 1000
    seed: int = 0


def measure(
    names: Sequence[str], dataset: Dataset, plan: SearchEvaluationPlan, steps: Steps
) -> list[SearchSection]:
    """Measure search with each of these registered models; without a name, with the serving model.

    Raises
    ------
    Invalid
        Where the shop's index is not PostgreSQL, or holds nothing.
    NotFound
        For a name that is not registered, and without names where no model serves.
    """
    settings = get_settings()
    if settings.search.url is not None:
        raise Invalid(
            "the quality of search is measured on the PostgreSQL index, and RECSYS_SEARCH__URL names "
            "another; unset it and run `recsys search reindex` first"
        )
    with unit_of_work() as session:
        if names:
            asked = [registry.get(session, name) for name in names]
        else:
            active = registry.active(session)
            if active is None:
                raise NotFound("no model serves yet; name a registered one, or train with `recsys train run`")
            asked = [active]
    dataset = newest_interactions(dataset, [each.algorithm for each in asked], steps)
    splits = [time_split(dataset, plan.test_days, positive=("purchase",), protocol="window")]
    if plan.choose:
        splits.append(time_split(splits[0].train, plan.test_days, positive=("purchase",), protocol="window"))
    periods = _prepare(splits, plan.by, settings, steps)
    return [measure_model(one, dataset, periods, plan, settings, steps) for one in asked]


def _prepare(splits: Sequence[Split], by: By, settings: Settings, steps: Steps) -> list[QueryPeriod]:
    found: dict[Words, SearchMatches] = {}
    periods = []
    features = settings.features
    for split in splits:
        needs = needs_of(split.folds["all"], types_of(split.train, by))
        asked = list(dict.fromkeys(need.words for need in needs))
        with steps.step("search", total=len(asked)) as searching, unit_of_work() as session:
            found = fetch(session, settings.search, split.train, asked, searching.advance)
            searching.note = f"{len(asked):,} distinct queries of {split.folds['all'].users.size:,} users"
        if not any(one.columns.size for one in found.values()):
            raise Invalid(
                "search finds nothing for any of the queries; run `recsys search reindex` first, and see "
                f"that products have {'categories' if by == 'category' else 'names'}"
            )
        fame = fame_of(split.train, features.weights, features.half_life_days)
        periods.append(QueryPeriod(split, needs, found, fame, settings.search.window))
    return periods


def measure_model(
    registered: RegisteredModel,
    dataset: Dataset,
    periods: Sequence[QueryPeriod],
    plan: SearchEvaluationPlan,
    settings: Settings,
    steps: Steps,
) -> SearchSection:
    """One model on the test, `periods[0]`; `periods[1]`, where it is there, chooses weights first."""
    test, search = periods[0], settings.search
    trials, chosen = _choose(registered, periods[1], steps) if len(periods) > 1 else ([], None)
    model, reason = model_before(registered, test.split, steps)
    weights: dict[str, tuple[float, float | None]] = {
        "text": (0.0, None),
        "everybody": (search.popularity_weight, None),
        "personal": (search.popularity_weight, search.personal_weight),
    }
    if chosen not in (None, (search.popularity_weight, search.personal_weight)):
        weights["chosen"] = chosen
    marked: dict[str, Marks] = {}
    for name, (popularity, personal) in weights.items():
        if personal is None:
            marked[name] = for_everybody(test, popularity)
            continue
        users = len({need.user for need in test.needs})
        with steps.step(
            f"order for {registered.name}, {popularity:g} and {personal:g}", total=users
        ) as ordering:
            marked[name] = for_users(test, model, popularity, [personal], ordering.advance)[personal]
    split = test.split
    sizes = np.array([test.found[need.words].columns.size for need in test.needs])
    return SearchSection(
        model=registered.name,
        how="refitted" if reason else "as registered",
        measured_at=clock.now(),
        by=plan.by,
        fingerprint=dataset.fingerprint,
        cutoff=_moment(split.cutoff),
        until=_moment(split.until),
        ks=list(KS),
        users=len({need.user for need in test.needs}),
        queries=len(test.needs),
        distinct=len(test.found),
        nothing=float((sizes == 0).mean()),
        missed=float((test.reached == 0).mean()),
        reached=float(test.reached.mean()),
        window=search.window,
        rankings=[_ranking(test, name, *weights[name], marked[name], plan) for name in marked],
        comparisons=_comparisons(test, marked, plan),
        trials=trials,
        seed=plan.seed,
        draws=plan.draws,
        command=_command(registered.name, plan),
    )


def _choose(
    registered: RegisteredModel, period: QueryPeriod, steps: Steps
) -> tuple[list[SearchTrial], tuple[float, float]]:
    """Popularity's weight by what everybody sees, then the personal one beside it; both by NDCG.

    The smallest of nearly the best is chosen: queries like these match their products about equally well, so
    they can't tell what a large weight does to searches where the text decides.
    """
    tried = {weight: _ndcg(period, for_everybody(period, weight)) for weight in POPULARITY_WEIGHTS}
    popularity = _smallest(tried)
    trials = [SearchTrial(popularity_weight=w, personal_weight=None, ndcg=v) for w, v in tried.items()]
    with steps.step(f"fit {registered.name} for validation"):
        # always refitted: its own artifact may have been chosen by what happened since
        model = create(experiment_of(registered)).fit(period.split.train)
    users = len({need.user for need in period.needs})
    with steps.step("try weights before the cutoff", total=users) as trying:
        found = for_users(period, model, popularity, PERSONAL_WEIGHTS, trying.advance)
        own = {weight: _ndcg(period, marks) for weight, marks in found.items()}
        personal = _smallest(own)
        trying.note = f"popularity {popularity:g}, personal {personal:g}"
    trials += [SearchTrial(popularity_weight=popularity, personal_weight=w, ndcg=v) for w, v in own.items()]
    return trials, (popularity, personal)


def _smallest(tried: Mapping[float, float]) -> float:
    best = max(tried.values())
    return min(weight for weight, value in tried.items() if value >= NEARLY * best)


def _ndcg(period: QueryPeriod, marked: Marks) -> float:
    return float(np.nanmean(values_of(period, marked, "ndcg")[:, 0]))


def _ranking(
    period: QueryPeriod,
    name: str,
    popularity: float,
    personal: float | None,
    marked: Marks,
    plan: SearchEvaluationPlan,
) -> SearchRanking:
    return SearchRanking.model_validate(
        {
            "name": name,
            "popularity_weight": popularity,
            "personal_weight": personal,
            "metrics": {
                metric: _measures(values_of(period, marked, metric), plan)
                for metric in ("ndcg", "mrr", "hit_rate")
            },
            "segments": {
                word: _measures(values_of(period, marked, "ndcg", segment), plan)
                for word, segment in _SEGMENTS[1:]
            },
        }
    )


def _measures(values: Values, plan: SearchEvaluationPlan) -> list[Measure]:
    values = values[~np.isnan(values[:, 0])]
    if values.shape[0] == 0:
        return [Measure(k=k, value=None, low=None, high=None, users=0) for k in KS]
    low, high = bootstrap_interval(values, draws=plan.draws, seed=plan.seed)
    means = values.mean(axis=0)
    return [
        Measure(k=k, value=float(mean), low=float(a), high=float(b), users=values.shape[0])
        for k, mean, a, b in zip(KS, means, low, high, strict=True)
    ]


def _comparisons(
    period: QueryPeriod, marked: dict[str, Marks], plan: SearchEvaluationPlan
) -> list[SearchComparison]:
    """Each order against the one before it, at the first k, in the segments too; Holm-adjusted together."""
    names = list(marked)
    compared, raw = [], []
    for word, segment in _SEGMENTS:
        values = {name: values_of(period, marked[name], "ndcg", segment)[:, 0] for name in names}
        for b, a in pairwise(names):
            there = ~np.isnan(values[a])
            if there.any():
                compared.append((a, b, word))
                raw.append(compare(values[a][there], values[b][there], draws=plan.draws, seed=plan.seed))
    return [
        SearchComparison(
            a=a,
            b=b,
            segment=word,
            **one.figures(LEVEL),
        )
        for (a, b, word), one in zip(compared, holm_adjusted(raw), strict=True)
    ]


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _command(name: str, plan: SearchEvaluationPlan) -> str:
    return (
        f"recsys train search-quality {name} --by {plan.by} --test-days {plan.test_days:g} "
        f"--draws {plan.draws} --seed {plan.seed}{'' if plan.choose else ' --as-set'}"
    )
