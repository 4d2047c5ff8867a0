"""Guests: what a model shows people without an account, by the session they are in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.interactions import Events, History
from models.base import Recommender
from training.evaluation.evaluator import refuse_leak
from training.evaluation.metrics import find_hits
from training.evaluation.segments import METRICS, Segment, segment_of
from training.evaluation.splits import Split
from training.evaluation.summary import figures_from

__all__ = ["guest_values", "guests_from", "judge_guests"]

MOST = 20_000
Values = npt.NDArray[np.float64]


def judge_guests(model: Recommender, split: Split, *, k: int, draws: int, seed: int) -> Segment:
    """Each guest session of the test period: its first half is the history, successes after it are right.

    Events of one moment stay together; products that the session touched before are not right again. A
    session with nothing to ask for does not count; of more than 20,000 sessions the first ones are taken.
    """
    return guests_from([guest_values(model, split, k=k)], k=k, draws=draws, seed=seed)


def guests_from(periods: Sequence[Values], *, k: int, draws: int, seed: int) -> Segment:
    """The sessions of several periods as one segment; each is somebody else as far as anybody knows."""
    figures = figures_from(np.concatenate(periods), [k] * len(METRICS), draws=draws, seed=seed)
    return segment_of("guests", "guests", dict(zip(METRICS, figures, strict=True)), unit="guest session")


def guest_values(model: Recommender, split: Split, *, k: int) -> Values:
    """Float64 (sessions, metrics): what `judge_guests` makes figures of."""
    refuse_leak(model, split)
    histories, relevant = _sessions(split)
    hits = np.zeros((len(histories), k), dtype=bool)
    if histories:
        ranking = model.recommend_from(histories, k, exclude="seen", only=split.only)
        hits = find_hits(split.train.items.index(ranking.products), relevant)
    sizes = np.diff(relevant.indptr).astype(np.int64)
    return np.column_stack([metric(hits, sizes, [k])[:, 0] for metric in METRICS.values()])


def _sessions(split: Split) -> tuple[list[History], sparse.csr_matrix]:
    items = len(split.train.items)
    histories: list[History] = []
    right: list[npt.NDArray[np.int64]] = []
    for events in _by_session(split.guests):
        half = events.time[max(0, (len(events) + 1) // 2 - 1)]
        before, after = events.take(events.time <= half), events.take(events.time > half)
        known, wanted = before.item[before.item >= 0], after.item[split.train.target.mask(after)]
        wanted = wanted[split.train.item_features.active[wanted]]
        asked = np.setdiff1d(wanted, known).astype(np.int64)
        if known.size == 0 or asked.size == 0:
            continue
        in_catalogue = before.take(before.item >= 0)
        weights = split.train.weights.weigh(
            in_catalogue.kind, in_catalogue.value, in_catalogue.time, split.cutoff
        )
        histories.append(History(split.train.items.ids[in_catalogue.item], weights, in_catalogue.time))
        right.append(asked)
        if len(histories) == MOST:
            break
    indptr = np.append(0, np.cumsum([asked.size for asked in right], dtype=np.int64))
    indices = np.concatenate([*right, np.empty(0, dtype=np.int64)])
    parts = (np.ones(indices.size, dtype=bool), indices, indptr)
    return histories, sparse.csr_matrix(parts, shape=(len(histories), items))


def _by_session(guests: Events | None) -> list[Events]:
    """The sessions with more than one event, in order of their first; each in order of time."""
    if guests is None or not len(guests):
        return []
    named = guests.take(guests.session != 0)
    order = np.argsort(named.session, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(named.session[order]) != 0)) if order.size else order
    runs = [run for run in np.split(order, starts[1:]) if run.size > 1]
    return [named.take(run) for run in sorted(runs, key=lambda run: int(run[0]))]
