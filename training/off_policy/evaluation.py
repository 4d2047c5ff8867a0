"""The off-policy evaluation of a registered model, refused where the log has no support for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import Recommender
from models.registry import registry
from recsys.errors import Invalid
from training.off_policy.estimators import OffPolicyEstimates, estimate
from training.off_policy.log import Reward, read_lists
from training.off_policy.target import LoggedLists, RewardModel, TargetLists, padded, target_policy

__all__ = ["MAX_UNSUPPORTED", "OffPolicyOptions", "OffPolicyReport", "evaluate", "evaluate_lists", "lists_by"]

MAX_UNSUPPORTED = 0.05
"""The target's chance of products that the log could not have displayed, at any place; more is refused."""
MICROSECONDS = 1_000_000
_BLOCK = 500
"""Users whose whole rankings are held in memory at once."""


@dataclass(frozen=True)
class OffPolicyOptions:
    """How the log is read and the target is estimated.

    places : the first places of a list that count.
    temperature, depth : of the target's draw, as in the settings of exploration.
    clip : weights above it count as it.
    min_effective : effective visitors at every place, at least.
    rerank : the target ranks the candidates of each logged list, instead of all products on sale.
    draws, seed : of the bootstrap and of the folds of the reward model.
    """

    since: datetime
    until: datetime
    window: timedelta
    reward: Reward
    shelf: str
    places: int
    temperature: float
    depth: int
    clip: float
    min_effective: float
    rerank: bool
    draws: int
    seed: int


@dataclass(frozen=True)
class OffPolicyReport:
    """What a model would have earned on each list.

    since, until : of the lists that were used: those after the model's training data.
    lists, visitors : how many. unknown : further lists of users whom the model does not know.
    unsupported : the target's highest chance, over the places, of products that the log could not display.
    """

    model: str
    reward: Reward
    since: datetime
    until: datetime
    lists: int
    visitors: int
    unknown: int
    unsupported: float
    estimates: OffPolicyEstimates


def evaluate(session: Session, name: str, options: OffPolicyOptions) -> OffPolicyReport:
    """Estimate what the model `name` would have earned on the drawn lists.

    Raises NotFound for an unknown model, Unavailable for a damaged one, and Invalid, saying what to do, where
    the log has no support for it.
    """
    model = registry.load(registry.get(session, name))
    learned_until = datetime.fromtimestamp(model.moment_ / MICROSECONDS, UTC)
    since = max(options.since, learned_until)
    if since >= options.until:
        raise Invalid(
            f"model {name} has learned from interactions up to {learned_until:%Y-%m-%d %H:%M}, and the lists "
            f"end at {options.until:%Y-%m-%d %H:%M}: it may have learned what followed them. Wait for later "
            "lists, or evaluate a model that was trained earlier"
        )
    lists = read_lists(
        session, since=since, until=options.until, window=options.window, reward=options.reward,
        shelf=options.shelf, places=options.places,
    )  # fmt: skip
    if not len(lists):
        raise Invalid(
            f"no list {options.shelf!r} of a user was drawn between {since:%Y-%m-%d %H:%M} and "
            f"{options.until:%Y-%m-%d %H:%M}; set RECSYS_EXPLORATION__SHARE above 0 and wait for traffic"
        )
    known = np.flatnonzero(model.users_.index(lists.visitors) >= 0)
    if not known.size:
        raise Invalid(
            f"model {name} knows none of the {np.unique(lists.visitors).size:,} users of these lists"
        )
    used = lists.take(known)
    on_sale = np.array(session.scalars(_ON_SALE).all(), dtype=np.int64)
    target = lists_by(model, used, options, on_sale)
    estimates, unsupported = evaluate_lists(used, target, options)
    return OffPolicyReport(
        name, options.reward, since, options.until, len(used), int(np.unique(used.visitors).size),
        len(lists) - len(used), unsupported, estimates,
    )  # fmt: skip


_ON_SALE = text("SELECT id FROM products_db.products WHERE status = 'active' ORDER BY id")


def evaluate_lists(
    lists: LoggedLists, target: TargetLists, options: OffPolicyOptions
) -> tuple[OffPolicyEstimates, float]:
    """The estimates, and the highest chance without support. Raises Invalid where there is too little."""
    policy = target_policy(lists, target, RewardModel(lists, seed=options.seed))
    before = np.hstack([np.ones((len(lists), 1)), np.cumprod(policy.ratios, axis=1)[:, :-1]])
    reached = before.sum(axis=0)
    missing = (before * policy.unsupported).sum(axis=0) / np.where(reached > 0, reached, 1.0)
    unsupported = float(missing.max())
    if unsupported > MAX_UNSUPPORTED or not np.cumprod(policy.ratios, axis=1).sum(axis=0).all():
        raise Invalid(
            f"the log has no support for this model: {unsupported:.0%} of what it would display was no "
            f"candidate of the drawn lists (at most {MAX_UNSUPPORTED:.0%} may be). Raise "
            "RECSYS_EXPLORATION__DEPTH, lower --temperature, or use --rerank: it then ranks only these"
        )
    estimates = estimate(
        lists.visitors, lists.rewards, policy.ratios, policy.fitted, policy.expected, clip=options.clip,
        draws=options.draws, seed=options.seed,
    )  # fmt: skip
    least = min(estimates.places, key=lambda place: place.effective_visitors)
    if least.effective_visitors < options.min_effective:
        raise Invalid(
            f"the log says too little about this model: its {len(lists):,} lists of "
            f"{np.unique(lists.visitors).size:,} users are worth those of {least.effective_visitors:.0f} at "
            f"place {least.place} (at least {options.min_effective:.0f} are needed). Wait for more drawn "
            "lists, give fewer --places, or explore with a higher RECSYS_EXPLORATION__TEMPERATURE"
        )
    return estimates, unsupported


def lists_by(
    model: Recommender, lists: LoggedLists, options: OffPolicyOptions, on_sale: npt.NDArray[np.int64]
) -> TargetLists:
    """What the model ranks for the user of each list, from the history of its training data.

    Reranked candidates that the model does not rank follow in the order of the log.
    """
    users, row = np.unique(lists.visitors, return_inverse=True)
    if not options.rerank:
        ranked = model.recommend(users, options.depth, only=on_sale).products
        return TargetLists(ranked[row], options.temperature)
    reranked: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * len(lists)
    for first in range(0, users.size, _BLOCK):
        block = users[first : first + _BLOCK]
        ranked = model.recommend(block, len(model.items_)).products
        for number in np.flatnonzero((row >= first) & (row < first + block.size)).tolist():
            candidates = lists.candidates[number][lists.candidates[number] >= 0]
            order = ranked[row[number] - first]
            by_model = order[np.isin(order, candidates)]
            reranked[number] = np.concatenate([by_model, candidates[~np.isin(candidates, by_model)]])
    return TargetLists(padded(reranked, lists.candidates.shape[1]), options.temperature)
