"""The off-policy evaluation of a registered model, refused where the log has no support for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from models.registry import registry
from recsys.errors import Invalid
from training.off_policy.estimators import OffPolicyEstimates, estimate
from training.off_policy.log import Reward, read_lists
from training.off_policy.rankings import lists_by
from training.off_policy.target import LoggedLists, RewardModel, TargetLists, target_policy

__all__ = ["MAX_UNSUPPORTED", "OffPolicyOptions", "OffPolicyReport", "evaluate", "evaluate_lists"]

MAX_UNSUPPORTED = 0.05
"""The target's chance of products that the log could not have displayed, at any place; more is refused."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class OffPolicyOptions:
    """How the log is read and the target is estimated.

    Attributes
    ----------
    since, until
        Lists that were displayed within [since, until) are read.
    window
        How long after a list what follows it counts.
    reward
        What a place earns.
    shelf
        The name of the list.
    places
        The first places of a list that count.
    temperature, depth
        Of the target's draw, as in the settings of exploration.
    clip
        Weights above it count as it.
    min_effective
        Effective visitors at every place, at least.
    rerank
        The target ranks the candidates of each logged list, instead of all products on sale.
    draws
        Of the bootstrap.
    seed
        Of the bootstrap and of the folds of the reward model.
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

    Attributes
    ----------
    since, until
        Of the lists that were used: those after the model's training data.
    lists, visitors
        How many.
    guests
        Lists of guests among them.
    without_history
        Lists that are the same by any model, since it ranks nothing for their visitors.
    left_out
        Further lists, which were filtered by attributes; those of guests where orders count.
    unsupported
        The target's highest chance, over the places, of products that the log could not display, 0 to 1.
    """

    model: str
    reward: Reward
    since: datetime
    until: datetime
    lists: int
    visitors: int
    guests: int
    without_history: int
    left_out: int
    unsupported: float
    estimates: OffPolicyEstimates


def evaluate(session: Session, name: str, options: OffPolicyOptions) -> OffPolicyReport:
    """Estimate what the model `name` would have earned on the drawn lists.

    Raises
    ------
    NotFound
        For an unknown model.
    Unavailable
        For a damaged one.
    Invalid
        Where the log has no support for it; the message says what to do.
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
    drawn = read_lists(
        session, since=since, until=options.until, window=options.window, reward=options.reward,
        shelf=options.shelf, places=options.places,
    )  # fmt: skip
    if not len(drawn):
        raise Invalid(
            f"no list {options.shelf!r} of a visitor was drawn between {since:%Y-%m-%d %H:%M} and "
            f"{options.until:%Y-%m-%d %H:%M}; set RECSYS_EXPLORATION__SHARE above 0 and wait for traffic"
        )
    usable = np.flatnonzero(
        [
            _is_usable(filters, guest, options.reward)
            for filters, guest in zip(drawn.filters, drawn.sessions, strict=True)
        ]
    )
    if not usable.size:
        raise Invalid(
            "none of these lists can be used: all are of guests, whose orders name no list, or filtered by "
            "attributes; choose another --reward or --list"
        )
    used = drawn.take(usable)
    target, without_history = lists_by(
        session, model, used, depth=options.depth, temperature=options.temperature, rerank=options.rerank
    )
    estimates, unsupported = evaluate_lists(used.lists, target, options)
    return OffPolicyReport(
        name, options.reward, since, options.until, len(used), int(np.unique(used.lists.visitors).size),
        sum(each is not None for each in used.sessions), without_history, len(drawn) - len(used), unsupported,
        estimates,
    )  # fmt: skip


def _is_usable(filters: Mapping[str, Any], guest: str | None, reward: Reward) -> bool:
    """Whether it is known what else could be displayed, and what the list earned."""
    return "attributes" not in filters and (guest is None or reward is not Reward.REVENUE)


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
