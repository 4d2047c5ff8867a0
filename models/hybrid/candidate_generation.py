"""The first stage of a hybrid: several fitted models side by side, and the candidates that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.interactions import History
from models.base import Recommender
from models.hybrid.blend import Pool
from models.hybrid.ranking_features import rounded
from models.ranking.filters import RankRequest, Selection
from models.shared.score_blocks import ScoreBlock

__all__ = ["CandidatePairs", "Panel", "joined"]

Float = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CandidatePairs:
    """Pairs of a user and a product that at least one model names; sorted by user, then item.

    owner, item  int64 (c,): row 0..users-1, and item row
    raw     float32 (c, models): the model's own score, -inf where it can say nothing
    scaled  float32 (c, models): (raw - lowest of the model's list) / mean of these over the list; 0 for
            -inf, less than 0 for what is not on the list
    rank    float32 (c, models): how many products the model puts before it, at most the list's length
    scale   float32 (users, models, 2): lowest of the list, and that mean (0 for a list of one value)
    length  of the models' lists
    """

    users: int
    owner: Rows
    item: Rows
    raw: Float
    scaled: Float
    rank: Float
    scale: Float
    length: int

    def pool(self) -> Pool:
        """One row per user, as wide as the longest; what is not on a model's list counts 0."""
        products = np.full((self.users, self.width), -1, dtype=np.int64)
        features = np.zeros((self.users, self.width, self.raw.shape[1]), dtype=np.float32)
        place = self.places
        products[self.owner, place] = self.item
        features[self.owner, place] = np.maximum(self.scaled, 0)
        return Pool(np.arange(self.users, dtype=np.int64), products, features)

    @property
    def width(self) -> int:
        """Candidates of the user who has most of them, at least 1."""
        return int(np.bincount(self.owner, minlength=1).max(initial=1))

    @property
    def places(self) -> Rows:
        """Of each candidate among those of its user, int64 (c,)."""
        starts = np.searchsorted(self.owner, np.arange(self.users))
        return np.arange(self.owner.size, dtype=np.int64) - starts[self.owner]

    def padded(self, values: npt.NDArray[Any], nothing: float | bool) -> npt.NDArray[Any]:
        """`values` (c,) as a matrix (users, width), `nothing` where a user has fewer candidates."""
        out = np.full((self.users, self.width), nothing, dtype=values.dtype)
        out[self.owner, self.places] = values
        return out

    def only(self, models: Sequence[int]) -> CandidatePairs:
        """What these models name, and what they say of it."""
        keep = (self.rank[:, models] < self.length).any(axis=1)
        raw, scaled, rank = (each[keep][:, models] for each in (self.raw, self.scaled, self.rank))
        pairs = self.owner[keep], self.item[keep]
        return CandidatePairs(self.users, *pairs, raw, scaled, rank, self.scale[:, models], self.length)

    def member_columns(self) -> Float:
        """float32 (c, 3 × models + 2): the models' opinions as features of the ranker; NaN for none."""
        scored = np.isfinite(self.raw)
        named = self.rank < self.length
        return np.concatenate(
            [
                rounded(np.where(scored, self.scaled, np.float32(np.nan))),
                rounded(np.where(scored, self.raw, np.float32(np.nan))),
                self.rank,
                named.sum(axis=1, keepdims=True, dtype=np.float32),
                self.rank.min(axis=1, keepdims=True, initial=np.inf),
            ],
            axis=1,
        ).astype(np.float32)


def joined(parts: Sequence[CandidatePairs]) -> CandidatePairs:
    """Those of several blocks of users, one after the other."""
    starts = np.cumsum([0, *(part.users for part in parts)])
    owner = [part.owner + start for part, start in zip(parts, starts[:-1], strict=True)]
    item, raw, scaled, rank, scale = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("item", "raw", "scaled", "rank", "scale")
    )
    users, length = int(starts[-1]), parts[0].length
    return CandidatePairs(users, np.concatenate(owner), item, raw, scaled, rank, scale, length)


@dataclass(frozen=True, eq=False)
class Panel:
    """Models by name, all fitted on one dataset.

    inactive : bool (items,), products that the catalogue does not show to anybody; None: there are none.
    """

    members: Mapping[str, Recommender]
    inactive: npt.NDArray[np.bool_] | None = None

    def of(self, names: Sequence[str]) -> Panel:
        """These members alone, in this order."""
        return Panel({name: self.members[name] for name in names}, self.inactive)

    def opinions(self, request: RankRequest, lines: npt.NDArray[np.float32]) -> list[ScoreBlock]:
        """Every model's scores of everything; `lines`, float32 (models, n, items), is what they may use."""
        histories = request.histories
        if histories is None and request.rows.size and int(request.rows.min()) < 0:
            histories = self.untimed(request.history)
        blocks = []
        for line, member in zip(lines, self.members.values(), strict=True):
            history = member.history_[request.rows] if histories is None else member._matrix_of(histories)
            blocks.append(
                member._opinions(RankRequest(history, request.rows, Selection.all(), histories), line)
            )
        return blocks

    def untimed(self, history: sparse.csr_matrix) -> list[History]:
        """The rows of a matrix as histories that know no times."""
        ids = next(iter(self.members.values())).items_.ids
        return [History.of(ids[line.indices], line.data) for line in history]

    def candidates(
        self,
        blocks: Sequence[ScoreBlock],
        request: RankRequest,
        length: int,
        pairs: tuple[Rows, Rows] | None = None,
    ) -> CandidatePairs:
        """The best `length` of each model among what is eligible, with every model's opinion of them.

        Scales and ranks are those of the model's whole list of active products (of those new to the user,
        where these are asked for), so that what a request filters out changes no other product's score.
        blocks : of `opinions`. pairs : take these candidates (owner, item) instead, sorted.
        """
        n, items = request.history.shape
        seen = request.history if request.shown.seen else None
        filtered = self.filtered(request.shown, items) if pairs is None else None
        tops, keys = [], []
        for block in blocks:
            columns, values = block.best(length, self.inactive, seen)
            tops.append(values)
            if pairs is None:
                if filtered is not None and bool(filtered[columns[columns >= 0]].any()):
                    columns, _ = block.best(length, filtered, seen)
                row, place = np.nonzero(columns >= 0)
                keys.append(row * items + columns[row, place])
        if pairs is None:
            key = np.unique(np.concatenate(keys))
            pairs = key // items, key % items
        owner, item = pairs
        raw = np.stack([block.pairs(owner, item) for block in blocks], axis=1)
        return _with_scales(n, owner, item, raw, tops, length)

    def filtered(self, shown: Selection, items: int) -> npt.NDArray[np.bool_] | None:
        """bool (items,): the inactive products and what a request leaves out; None where it is nothing."""
        closed = shown.closed(items)
        if closed is None or self.inactive is None:
            return self.inactive if closed is None else closed
        return closed | self.inactive


def _with_scales(
    n: int, owner: Rows, item: Rows, raw: Float, tops: Sequence[Float], length: int
) -> CandidatePairs:
    """tops : per model its best scores, float32 (n, length), -inf in empty places."""
    ranks = np.empty(raw.shape, dtype=np.float32)
    scale = np.zeros((n, len(tops), 2), dtype=np.float32)
    bounds = np.searchsorted(owner, np.arange(n + 1))
    for model, values in enumerate(tops):
        filled = np.isfinite(values)
        count = np.maximum(filled.sum(axis=1), 1)
        lowest = np.where(filled.any(axis=1), np.where(filled, values, np.inf).min(axis=1), 0)
        scale[:, model, 0] = lowest
        scale[:, model, 1] = np.where(filled, values - lowest[:, None], 0).sum(axis=1) / count
        for user in range(n):
            part = slice(bounds[user], bounds[user + 1])
            ranks[part, model] = np.searchsorted(-values[user], -raw[part, model])
    ranks[~np.isfinite(raw)] = length
    lowest, mean = scale[owner, :, 0], scale[owner, :, 1]
    usable = np.isfinite(raw) & (mean > 0)
    above = np.where(usable, raw - lowest, 0)
    scaled = np.divide(above, mean, out=np.zeros_like(above), where=usable)
    # far below a list's end all is the same
    scaled = np.maximum(scaled, -5).astype(np.float32)
    return CandidatePairs(n, owner, item, raw, scaled, ranks, scale, length)
