"""For whom, and for which products, a model is good: the same figures for parts of users and catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from training.evaluation.evaluator import ViewResult
from training.evaluation.item_stats import GROUPS
from training.evaluation.metrics import hit_rate, ndcg, recall
from training.evaluation.splits import Fold, Split
from training.evaluation.summary import MeanEstimate, figures_from, mean_by_user

__all__ = [
    "FEW",
    "METRICS",
    "EvaluatedPeriod",
    "Segment",
    "SegmentMembers",
    "known_events",
    "parts_of",
    "segment_of",
    "segments",
    "segments_over",
    "user_groups",
]

FEW = 30
"""Below so many users a segment is called too small: its interval tells of chance, not of models."""
MOST_CATEGORIES = 12
NEW_EVENTS = 5
METRICS = {"ndcg": ndcg, "recall": recall, "hit_rate": hit_rate}

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """One part of the test.

    Attributes
    ----------
    kind
        `users` (by their past), `items` (head, middle, tail), `category`, `price`, or `guests`.
    users
        How many users are in it: of a part of the catalogue, those who took up something of it.
    figures
        The figure at one cut-off, by metric; of a part of the catalogue only its products count as right.
    small
        Whether there are too few users to tell models apart; `note` says so in words.
    """

    kind: str
    name: str
    users: int
    figures: dict[str, MeanEstimate]
    small: bool
    note: str


@dataclass(frozen=True, eq=False)
class EvaluatedPeriod:
    """One view of one split, and what a model made of it."""

    result: ViewResult
    split: Split
    fold: Fold


@dataclass(frozen=True, eq=False)
class SegmentMembers:
    """One part of the test in each period, the same for every model.

    Attributes
    ----------
    sizes : int64, shape (users of the fold,), for each period
        Right products of this part, 0 for a user who is not in it.
    member : bool, shape (items of the training data,), for each period, or None
        Products that count as right; None: all.
    """

    kind: str
    name: str
    sizes: list[npt.NDArray[np.int64]]
    member: list[npt.NDArray[np.bool_]] | None = None


def segments(
    result: ViewResult,
    split: Split,
    fold: Fold,
    *,
    k: int,
    draws: int,
    seed: int,
    parts: Sequence[SegmentMembers] | None = None,
) -> list[Segment]:
    """All segments of users and of products.

    Parameters
    ----------
    result
        What a model made of `fold`, a view of `split`.
    k
        The cut-off; it lies within the lists that were made.
    draws, seed
        Of the bootstrap.
    parts
        Those of `parts_of` for this split and fold, where several models are judged on it.
    """
    return segments_over([EvaluatedPeriod(result, split, fold)], k=k, draws=draws, seed=seed, parts=parts)


def segments_over(
    periods: Sequence[EvaluatedPeriod],
    *,
    k: int,
    draws: int,
    seed: int,
    parts: Sequence[SegmentMembers] | None = None,
) -> list[Segment]:
    """The segments of several periods as one, so that one period's chance is not taken for the model's.

    Each user counts once in a segment, with the mean over the periods in which they were in it, as in the
    figures of the whole; who was new in one period and light in the next is in both. One bound parts light
    from heavy users, and one set of prices the products, in all periods: each says the same throughout.
    """
    periods = [one for one in periods if one.result.users.size]
    if not periods:
        return []
    parts = parts_of([(one.split, one.fold) for one in periods]) if parts is None else parts
    columns = [one.split.train.items.index(one.result.products[:, :k]) for one in periods]
    blocks = [
        np.concatenate(
            [_values(one.result.hits[:, :k], columns[i], part, i, k) for i, one in enumerate(periods)]
        )
        for part in parts
    ]
    stacked = np.concatenate(blocks, axis=1)
    if len(periods) > 1:
        _, stacked = mean_by_user(np.concatenate([one.result.users for one in periods]), stacked)
    figures = figures_from(stacked, [k] * stacked.shape[1], draws=draws, seed=seed)
    width = len(METRICS)
    return [
        segment_of(
            part.kind, part.name, dict(zip(METRICS, figures[i * width : (i + 1) * width], strict=True))
        )
        for i, part in enumerate(parts)
    ]


def parts_of(tests: Sequence[tuple[Split, Fold]]) -> list[SegmentMembers]:
    """The parts of users and of products over one or several periods, empty folds left out."""
    tests = [(split, fold) for split, fold in tests if fold.users.size]
    if not tests:
        return []
    bound = _heavy_above([known_events(fold, split) for split, fold in tests])
    groups = [user_groups(fold, split, bound) for split, fold in tests]
    parts = [
        SegmentMembers(
            "users",
            name,
            [np.where(own[number][1], fold.sizes, 0) for own, (_, fold) in zip(groups, tests, strict=True)],
        )
        for number, (name, _) in enumerate(groups[0])
    ]
    folds = [fold for _, fold in tests]
    for kind, names, codes in _item_groups([split for split, _ in tests]):
        for code, name in _largest(names, codes, folds):
            members = [own == code for own in codes]
            sizes = [_right_in(member, fold) for member, fold in zip(members, folds, strict=True)]
            parts.append(SegmentMembers(kind, name, sizes, members))
    return parts


def segment_of(kind: str, name: str, figures: dict[str, MeanEstimate], unit: str = "user") -> Segment:
    """A segment from its figures, saying so when it is too small."""
    users = next(iter(figures.values())).users
    small = users < FEW
    counted = "no " + unit if users == 0 else f"{users:,} {unit}{'' if users == 1 else 's'}"
    note = f"{counted}: too few to tell models apart (fewer than {FEW})" if small else ""
    return Segment(kind, name, users, figures, small, note)


def known_events(fold: Fold, split: Split) -> npt.NDArray[np.int64]:
    """How many events a model knows of each user of the fold before it is asked."""
    if fold.histories is not None:
        return np.array([history.products.size for history in fold.histories], dtype=np.int64)
    train = split.train
    known = np.bincount(train.events.user[train.events.user >= 0], minlength=len(train.users))
    return known[train.users.index(fold.users)]


def user_groups(
    fold: Fold, split: Split, bound: float | None = None
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """New, light and heavy users by how many events a model knows of them before it is asked.

    New: at most NEW_EVENTS. Of the others, those above `bound` are heavy, the rest light.

    Parameters
    ----------
    bound
        In events; None: the bound of the quarter with the most events.

    Returns
    -------
    list of tuple of str and bool, shape (users of the fold,)
        The name of each group, and whether each user is in it.
    """
    events = known_events(fold, split)
    bound = _heavy_above([events]) if bound is None else bound
    new = events <= NEW_EVENTS
    heavy = ~new & (events > bound)
    return [
        (f"new (at most {NEW_EVENTS} events)", new),
        (f"light (up to {bound:,.0f} events)", ~new & ~heavy),
        (f"heavy (more than {bound:,.0f} events)", heavy),
    ]


def _heavy_above(events: Sequence[npt.NDArray[np.int64]]) -> float:
    regular = np.concatenate(events)
    regular = regular[regular > NEW_EVENTS]
    return float(np.quantile(regular, 0.75)) if regular.size else float(NEW_EVENTS)


def _item_groups(splits: Sequence[Split]) -> list[tuple[str, Sequence[str], list[Codes]]]:
    """Kind, names, and for each split the places of its products among the names; -1 for none."""
    several = [split.facts for split in splits]
    groups: list[tuple[str, Sequence[str], list[Codes]]] = [
        ("items", [f"{name} products" for name in GROUPS], [each.group.astype(np.int64) for each in several])
    ]
    # the newest names first: those of a category that was renamed meanwhile follow
    genres = list(dict.fromkeys(name for each in reversed(several) for name in each.genres))
    if genres:
        place = {name: number for number, name in enumerate(genres)}
        tables = [np.array([*(place[name] for name in each.genres), -1], dtype=np.int64) for each in several]
        codes = [table[each.genre] for table, each in zip(tables, several, strict=True)]
        groups.append(("category", genres, codes))
    newest = several[-1].price
    priced = np.isfinite(newest)
    if priced.any():
        bounds = np.unique(np.quantile(newest[priced], [0.25, 0.5, 0.75]))
        edges = [0.0, *bounds.tolist(), float("inf")]
        names = [
            f"{low:,.2f} and more" if high == float("inf") else f"{low:,.2f} to {high:,.2f}"
            for low, high in pairwise(edges)
        ]
        codes = [
            np.where(np.isfinite(each.price), np.searchsorted(bounds, each.price, side="right"), -1)
            for each in several
        ]
        groups.append(("price", names, codes))
    return groups


def _largest(names: Sequence[str], codes: Sequence[Codes], folds: Sequence[Fold]) -> list[tuple[int, str]]:
    """The groups to show: all of a few; of many those that most right answers are of."""
    if len(names) <= MOST_CATEGORIES:
        return list(enumerate(names))
    of_right = np.concatenate([own[fold.relevant.indices] for own, fold in zip(codes, folds, strict=True)])
    counts = np.bincount(of_right[of_right >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return [(int(code), names[int(code)]) for code in order]


def _right_in(member: npt.NDArray[np.bool_], fold: Fold) -> npt.NDArray[np.int64]:
    right = np.append(0, np.cumsum(member[fold.relevant.indices]))
    sizes: npt.NDArray[np.int64] = right[fold.relevant.indptr[1:]] - right[fold.relevant.indptr[:-1]]
    return sizes.astype(np.int64)


def _values(
    hits: npt.NDArray[np.bool_], columns: npt.NDArray[np.int64], part: SegmentMembers, period: int, k: int
) -> Values:
    """The metrics of the users of one part, float64 (users, metrics); NaN for everyone else."""
    sizes = part.sizes[period]
    rows = np.flatnonzero(sizes)
    counted = hits[rows]
    if part.member is not None:
        counted = counted & np.append(part.member[period], False)[columns[rows]]
    values = np.full((sizes.size, len(METRICS)), np.nan)
    for place, metric in enumerate(METRICS.values()):
        values[rows, place] = metric(counted, sizes[rows], [k])[:, 0]
    return values
