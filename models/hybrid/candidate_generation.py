"""The first stage of a hybrid: several fitted models side by side, and the candidates that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import distinct
from features.interactions import History
from models.base import ColumnScorer, Recommender
from models.hybrid.blend import Pool
from models.hybrid.ranking_features import rounded
from models.ranking.filters import RankRequest, Selection
from models.ranking.mips.buffers import scratch
from models.shared.score_blocks import DenseScores, NarrowScores, ScoreBlock

__all__ = ["CandidatePairs", "Panel", "joined", "most_taken"]

Float = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

HARDLY_MORE = 1.25
"""To leave out less than a fifth of the products gains nothing."""


@dataclass(frozen=True, eq=False)
class CandidatePairs:
    """Pairs of a user and a product that at least one model names; sorted by user, then item.

    Attributes
    ----------
    users
        How many users there are.
    owner, item : int64, shape (c,)
        Row 0..users-1, and item row.
    raw : float32, shape (c, models)
        The model's own score, -inf where it can say nothing.
    scaled : float32, shape (c, models)
        (raw - lowest of the model's list) / mean of these over the list; 0 for -inf and for a list of one
        value; below 0, down to -5, for what is not on the list.
    rank : float32, shape (c, models)
        How many products the model puts before it, at most the list's length.
    scale : float32, shape (users, models, 2)
        Lowest of the list, and that mean (0 for a list of one value).
    length
        Of the models' lists.
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

    def where(self, keep: npt.NDArray[np.bool_]) -> CandidatePairs:
        """Some of the candidates; bool (c,)."""
        raw, scaled, rank = (each[keep] for each in (self.raw, self.scaled, self.rank))
        pairs = self.owner[keep], self.item[keep]
        return CandidatePairs(self.users, *pairs, raw, scaled, rank, self.scale, self.length)

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


def most_taken(dataset: Dataset, count: int) -> Rows | None:
    """`Panel.pool` of `count` products, by their summed weights; None where there are hardly more."""
    items = len(dataset.items)
    if items <= count * HARDLY_MORE:
        return None
    taken = np.asarray(dataset.matrix.sum(axis=0), dtype=np.float64).ravel()
    return np.sort(np.lexsort((np.arange(items), -taken))[:count])


@dataclass(frozen=True, eq=False)
class Panel:
    """Models by name, all fitted on one dataset.

    Attributes
    ----------
    members
    inactive : bool, shape (items,)
        Products that the catalogue does not show to anybody; None: there are none.
    pool : int64, increasing
        Item rows of the products that were taken most. Of the others, a model with a score for everything is
        asked about the user's own only, unless it `knows_rare`; None: all products.
    """

    members: Mapping[str, Recommender]
    inactive: npt.NDArray[np.bool_] | None = None
    pool: Rows | None = None

    def of(self, names: Sequence[str]) -> Panel:
        """These members alone, in this order."""
        return Panel({name: self.members[name] for name in names}, self.inactive, self.pool)

    def opinions(self, request: RankRequest) -> list[ScoreBlock]:
        """Every model's scores of everything, until this thread asks for the next ones."""
        histories = request.histories
        if histories is None and request.rows.size and int(request.rows.min()) < 0:
            histories = self.untimed(request.history)
        among = None if self.pool is None else _Columns.of(self.pool, request.history)
        blocks = []
        for number, member in enumerate(self.members.values()):
            if histories is None:
                history = member.history_[request.rows]
            elif type(member)._matrix_of is Recommender._matrix_of:
                history = request.history  # the same sums, made once
            else:
                history = member._matrix_of(histories)
            own = RankRequest(history, request.rows, Selection.all(), histories)
            if among is None or member.knows_rare:
                blocks.append(member._opinions(own, _line(number, request.history.shape)))
            else:
                blocks.append(among.opinions(member, own, number))
        return blocks

    def width(self, items: int) -> int:
        """How many numbers the opinions about one user take, if the user has no rare products."""
        narrow = items if self.pool is None else self.pool.size
        return sum(items if member.knows_rare else narrow for member in self.members.values())

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

        Parameters
        ----------
        blocks
            Of `opinions`.
        pairs
            Take these candidates (owner, item) instead, sorted.
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
            key = distinct(np.concatenate(keys))
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


@dataclass(frozen=True, eq=False)
class _Columns:
    """The products that a block of users is ranked among.

    Attributes
    ----------
    pool : int64, increasing
        As of `Panel`.
    columns : int64, increasing
        Item rows: the pool, and what any of the users had.
    place : int64, shape (items,)
        The column of each item row, -1 for none.
    rare : int64
        Columns that are not of the pool.
    owner, own : int64
        A row and one of the `rare` columns each: whose these are.
    """

    pool: Rows
    columns: Rows
    place: Rows
    rare: Rows
    owner: Rows
    own: Rows

    @classmethod
    def of(cls, pool: Rows, history: sparse.csr_matrix) -> _Columns:
        """The columns for the users of a block.

        Parameters
        ----------
        pool : int64, increasing
            As of `Panel`.
        history : csr, shape (n, items)
            What each user of the block had.
        """
        in_pool = np.zeros(history.shape[1], dtype=bool)
        in_pool[pool] = True
        among = in_pool.copy()
        among[history.indices] = True
        columns = np.flatnonzero(among)
        place = np.full(history.shape[1], -1, dtype=np.int64)
        place[columns] = np.arange(columns.size)
        rare = ~in_pool[history.indices]
        owner = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
        return cls(
            pool, columns, place, np.flatnonzero(~in_pool[columns]), owner[rare], place[history.indices[rare]]
        )

    def opinions(self, member: Recommender, request: RankRequest, number: int) -> ScoreBlock:
        """The scores of a member, in line `number`; a member that scores few products is asked as always.

        A rare product of one user is none for the others: a list does not depend on who else is in a block.
        """
        rows, items = request.history.shape
        scores = _line(number, (rows, self.columns.size))
        scorer = member._column_scorer(request)
        if scorer is None:
            block = member._opinions(request, _line(number, (rows, items), "whole"))
            if not isinstance(block, DenseScores):
                return block
            np.take(block.scores, self.columns, axis=1, out=scores)
        elif rows == 1:
            self._score_one(scorer, number, scores)
        else:
            scorer(self.columns, scores)
        kept = scores[self.owner, self.own]
        scores[:, self.rare] = -np.inf
        scores[self.owner, self.own] = kept
        return NarrowScores(scores, self.columns, self.place)

    def _score_one(self, scorer: ColumnScorer, number: int, scores: Float) -> None:
        """Score one user: the pool's part of a model's arrays was taken before."""
        of_pool = scores if self.rare.size == 0 else _line(number, (1, self.pool.size), "pool")
        scorer(self.pool, of_pool, is_pool=True)
        if self.rare.size:
            of_rare = _line(number, (1, self.rare.size), "rare")
            scorer(self.columns[self.rare], of_rare)
            scores[:, self.place[self.pool]] = of_pool
            scores[:, self.rare] = of_rare


def _line(number: int, shape: tuple[int, int], what: str = "line") -> Float:
    line: Float = scratch.array(f"{what} {number} of a panel", shape, np.float32)
    return line


def _with_scales(
    n: int, owner: Rows, item: Rows, raw: Float, tops: Sequence[Float], length: int
) -> CandidatePairs:
    """Pairs with the ranks and the scaled scores that their raw scores have in the models' lists.

    Parameters
    ----------
    n
        How many users there are.
    owner, item, raw, length
        As of `CandidatePairs`.
    tops : sequence of float32, shape (n, length)
        For each model its best scores, -inf in empty places.
    """
    ranks = np.empty(raw.shape, dtype=np.float32)
    scale = np.zeros((n, len(tops), 2), dtype=np.float32)
    starts = np.arange(n, dtype=np.int64) * length
    for model, values in enumerate(tops):
        filled = np.isfinite(values)
        count = np.maximum(filled.sum(axis=1), 1)
        lowest = np.where(filled.any(axis=1), np.where(filled, values, np.inf).min(axis=1), 0)
        scale[:, model, 0] = lowest
        scale[:, model, 1] = np.where(filled, values - lowest[:, None], 0).sum(axis=1) / count
        before = np.searchsorted(
            _rising(values, np.arange(n)[:, None]).ravel(), _rising(raw[:, model], owner)
        )
        ranks[:, model] = before - starts[owner]
    ranks[~np.isfinite(raw)] = length
    lowest, mean = scale[owner, :, 0], scale[owner, :, 1]
    usable = np.isfinite(raw) & (mean > 0)
    above = np.where(usable, raw - lowest, 0)
    scaled = np.divide(above, mean, out=np.zeros_like(above), where=usable)
    # far below a list's end all is the same
    scaled = np.maximum(scaled, -5).astype(np.float32)
    return CandidatePairs(n, owner, item, raw, scaled, ranks, scale, length)


def _rising(values: Float, row: Rows) -> Rows:
    """int64 keys that rise by row, and within a row as `values` (never NaN) fall; shapes broadcast."""
    bits = (values + np.float32(0)).view(np.int32).astype(np.int64)  # -0 becomes 0
    falling = np.where(bits < 0, bits & 0x7FFFFFFF, ~bits)
    return (row << 33) + falling
