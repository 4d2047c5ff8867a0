"""Why a hybrid scores a product so: its members' own reasons, weighed as its rule weighs their opinions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.base import Recommender, Rows
from models.hybrid.candidate_generation import CandidatePairs, Panel
from models.hybrid.ranking_features import PERSONAL
from models.hybrid.strategy_selection import Stage
from models.ranking.filters import RankRequest, Selection
from models.results import MemberOpinion
from models.shared.score_blocks import ScoreBlock

__all__ = ["Parts", "blended", "member_opinions", "member_parts", "shared_out"]

Parts = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Contributions of the user's history (m, entries), and baselines (m,)."""


def member_parts(
    member: Recommender, request: RankRequest, items: Rows, seen: npt.NDArray[np.int32]
) -> Parts:
    """What a member says; `seen` are the items of the history, increasing."""
    if request.histories is not None:
        history = member._matrix_of(request.histories)
    else:
        history = member.history_[request.rows] if int(request.rows[0]) >= 0 else request.history
    own, rest = member._reasons(RankRequest(history, request.rows, Selection.all(), request.histories), items)
    liked = history.indices[history.data > 0]
    parts = np.zeros((items.size, seen.size))
    if not seen.size:
        return parts, rest.astype(np.float64) + own.sum(axis=1, dtype=np.float64)
    place = np.minimum(np.searchsorted(seen, liked), seen.size - 1)
    same = seen[place] == liked
    parts[:, place[same]] = own[:, same]
    return parts, rest.astype(np.float64) + own[:, ~same].sum(axis=1, dtype=np.float64)


def blended(stage: Stage, found: CandidatePairs, back: Rows, reasons: list[Parts]) -> Parts:
    """weight × (score − lowest) / mean, for members that list the product."""
    listed = np.maximum(found.scaled, 0)[back] > 0
    parts, rest = np.zeros_like(reasons[0][0]), np.zeros(back.size)
    for place, ((own, baseline), weight) in enumerate(zip(reasons, stage.weights, strict=True)):
        lowest, mean = found.scale[0, place].astype(np.float64)
        factor = np.where(listed[:, place], weight / mean if mean > 0 else 0.0, 0.0)
        parts += factor[:, None] * own
        rest += factor * (np.where(factor > 0, baseline, 0) - lowest)
    return parts, rest


def shared_out(
    stage: Stage,
    shap: npt.NDArray[np.float64],
    reasons: list[Parts],
    items: Rows,
    seen: npt.NDArray[np.int32],
) -> Parts:
    """SHAP values (m, features + 1) as contributions of the history and a baseline."""
    assert stage.ranker is not None
    names = stage.ranker.names
    parts = np.zeros((items.size, seen.size))
    for (own, baseline), member in zip(reasons, stage.members, strict=True):
        columns_of_it = [i for i, name in enumerate(names) if name.startswith(f"{member}:")]
        owed = shap[:, columns_of_it].sum(axis=1)
        speaks = np.maximum(own, 0)
        whole = speaks.sum(axis=1) + np.where(np.isfinite(baseline), np.maximum(baseline, 0), 0)
        share = np.divide(speaks, whole[:, None], out=np.zeros_like(speaks), where=whole[:, None] > 0)
        parts += owed[:, None] * share
    personal = shap[:, [i for i, name in enumerate(names) if name in PERSONAL]].sum(axis=1)
    parts += personal[:, None] * (seen[None, :] == items[:, None])
    return parts, shap.sum(axis=1) - parts.sum(axis=1)


def member_opinions(
    panel: Panel, blocks: Sequence[ScoreBlock], request: RankRequest, item: int, length: int
) -> tuple[MemberOpinion, ...]:
    """Return the opinion of each member on an item row; `request` is of one user.

    Parameters
    ----------
    blocks
        Of `Panel.opinions`.
    length
        Of the lists whose products are candidates.
    """
    items = request.history.shape[1]
    pair = np.zeros(1, dtype=np.int64), np.array([item], dtype=np.int64)
    closed, seen = panel.filtered(request.shown, items), request.history if request.shown.seen else None
    opinions = []
    for name, block in zip(panel.members, blocks, strict=True):
        score = float(block.pairs(*pair)[0])  # before the ranking, which may overwrite it
        columns, _ = block.best(items, closed, seen)
        place = np.flatnonzero(columns[0] == item)
        position = int(place[0]) + 1 if place.size else None
        is_named = position is not None and position <= length
        opinions.append(MemberOpinion(name, score if np.isfinite(score) else None, position, is_named))
    return tuple(opinions)
