"""For whom, and for which products, a model is good: the same figures for parts of users and catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from training.evaluation.evaluate import ViewResult
from training.evaluation.facts import GROUPS
from training.evaluation.metrics import hit_rate, ndcg, recall
from training.evaluation.splits import Fold, Split
from training.evaluation.summary import Figure, figures_from

__all__ = ["FEW", "METRICS", "Segment", "segments", "user_groups"]

FEW = 30
"""Below so many users a segment is called too small: its interval tells of chance, not of models."""
MOST_CATEGORIES = 12
NEW_EVENTS = 5
METRICS = {"ndcg": ndcg, "recall": recall, "hit_rate": hit_rate}

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """One part of the test.

    kind    users (by their past), items (head, middle, tail), category, price, or guests
    users   how many users are in it: of a part of the catalogue, those who took up something of it
    figures metric → figure at one cut-off; of a part of the catalogue only its products count as right
    small   too few users to tell models apart; `note` says so in words
    """

    kind: str
    name: str
    users: int
    figures: dict[str, Figure]
    small: bool
    note: str


def segments(result: ViewResult, split: Split, fold: Fold, *, k: int, draws: int, seed: int) -> list[Segment]:
    """All segments of users and of products; k lies within the lists that were made."""
    if result.users.size == 0:
        return []
    groups = user_groups(fold, split)
    columns = split.train.items.index(result.products[:, :k])
    hits = result.hits[:, :k]
    whole = np.column_stack([metric(hits, result.sizes, [k])[:, 0] for metric in METRICS.values()])
    described: list[tuple[str, str]] = []
    blocks: list[Values] = []
    for name, member in groups:
        described.append(("users", name))
        blocks.append(np.where(member[:, None], whole, np.nan))
    for kind, names, codes in _item_groups(split):
        for code, name in _largest(names, codes, fold):
            described.append((kind, name))
            blocks.append(_restricted(hits, columns, fold, codes == code, k))
    stacked = np.concatenate(blocks, axis=1)
    figures = figures_from(stacked, [k] * stacked.shape[1], draws=draws, seed=seed)
    width = len(METRICS)
    return [
        segment_of(kind, name, dict(zip(METRICS, figures[i * width : (i + 1) * width], strict=True)))
        for i, (kind, name) in enumerate(described)
    ]


def segment_of(kind: str, name: str, figures: dict[str, Figure], unit: str = "user") -> Segment:
    """A segment from its figures, saying so when it is too small."""
    users = next(iter(figures.values())).users
    small = users < FEW
    counted = "no " + unit if users == 0 else f"{users:,} {unit}{'' if users == 1 else 's'}"
    note = f"{counted}: too few to tell models apart (fewer than {FEW})" if small else ""
    return Segment(kind, name, users, figures, small, note)


def user_groups(fold: Fold, split: Split) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """New, light and heavy users by how many events a model knows of them before it is asked.

    New: at most NEW_EVENTS. Of the others, the quarter with the most events is heavy, the rest light.
    """
    if fold.histories is not None:
        events = np.array([told.products.size for told in fold.histories], dtype=np.int64)
    else:
        train = split.train
        known = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
        events = known[train.users.index(fold.users)]
    new = events <= NEW_EVENTS
    bound = float(np.quantile(events[~new], 0.75)) if (~new).any() else float(NEW_EVENTS)
    heavy = ~new & (events > bound)
    return [
        (f"new (at most {NEW_EVENTS} events)", new),
        (f"light (up to {bound:,.0f} events)", ~new & ~heavy),
        (f"heavy (more than {bound:,.0f} events)", heavy),
    ]


def _item_groups(split: Split) -> list[tuple[str, Sequence[str], npt.NDArray[np.int64]]]:
    facts = split.facts
    groups: list[tuple[str, Sequence[str], npt.NDArray[np.int64]]] = [
        ("items", [f"{name} products" for name in GROUPS], facts.group.astype(np.int64))
    ]
    if facts.genres:
        groups.append(("category", facts.genres, facts.genre.astype(np.int64)))
    priced = np.isfinite(facts.price)
    if priced.any():
        bounds = np.unique(np.quantile(facts.price[priced], [0.25, 0.5, 0.75]))
        edges = [0.0, *bounds.tolist(), float("inf")]
        names = [
            f"{low:,.2f} and more" if high == float("inf") else f"{low:,.2f} to {high:,.2f}"
            for low, high in pairwise(edges)
        ]
        codes = np.where(priced, np.searchsorted(bounds, facts.price, side="right"), -1)
        groups.append(("price", names, codes))
    return groups


def _largest(names: Sequence[str], codes: npt.NDArray[np.int64], fold: Fold) -> list[tuple[int, str]]:
    """The groups to show: all of a few; of many those that most right answers are of."""
    if len(names) <= MOST_CATEGORIES:
        return list(enumerate(names))
    of_right = codes[fold.relevant.indices]
    counts = np.bincount(of_right[of_right >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return [(int(code), names[int(code)]) for code in order]


def _restricted(
    hits: npt.NDArray[np.bool_],
    columns: npt.NDArray[np.int64],
    fold: Fold,
    member: npt.NDArray[np.bool_],
    k: int,
) -> Values:
    """The metrics when only products of one group are right; NaN for users who took up none of it."""
    right = np.append(0, np.cumsum(member[fold.relevant.indices]))
    sizes = right[fold.relevant.indptr[1:]] - right[fold.relevant.indptr[:-1]]
    found = hits & np.append(member, False)[columns]
    asked = sizes > 0
    safe = np.maximum(sizes, 1).astype(np.int64)
    values = np.column_stack([metric(found, safe, [k])[:, 0] for metric in METRICS.values()])
    return np.where(asked[:, None], values, np.nan)
