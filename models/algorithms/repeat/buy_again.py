"""Buy again: what a user takes often and took lately, when it is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.algorithms.shared.item_item import scatter
from models.algorithms.shared.time_decay import Faded, Liked, own_entries
from models.base import Arrays, ModelKind, Rows, Scores
from models.ranking.filters import RankRequest, positive
from models.shared.score_blocks import ScoreBlock, SparseScores
from models.shared.validation import check_float

__all__ = ["BuyAgain", "BuyAgainParameters"]


@dataclass(frozen=True)
class BuyAgainParameters:
    """Parameters of `BuyAgain`.

    Parameters
    ----------
    half_life_days
        Age in days at which an event counts half.
    early_power, late_power
        How much it counts against a product that it is not yet due, or overdue; 0: not.
    smoothing
        So many intervals of the item's are added to the user's own, and of all items' to the item's.
    repeat
        Power of the repeat rate of the item; 0 leaves it out.
    repeat_shape
        Power of a buyer's repeats of an item in that rate.
    repeat_strength
        So many buyers of the category's rate are added to the item's.
    """

    half_life_days: float = 120.0
    early_power: float = 0.06
    late_power: float = 0.2
    smoothing: float = 2.0
    repeat: float = 0.4
    repeat_shape: float = 0.7
    repeat_strength: float = 20.0

    def __post_init__(self) -> None:
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "early_power", 0.0, 10.0)
        check_float(self, "late_power", 0.0, 10.0)
        check_float(self, "smoothing", 0.0, 1_000.0, above_low=True)
        check_float(self, "repeat", 0.0, 10.0)
        check_float(self, "repeat_shape", 0.0, 1.0)
        check_float(self, "repeat_strength", 0.0, 1e6, above_low=True)


class BuyAgain(Faded):
    """score(u, i) = Σ over the events of u with i of weight × ½^(age / half-life) × due^power × r(i)^repeat.

    The sum is the personal top-frequency baseline that next-basket models rarely beat (Hu et al. 2020,
    "Modeling personalized item frequency information for next-basket recommendation", SIGIR, section 5.3),
    with recency. due = x·e^(1−x), x = days since the last time / usual interval, is the waiting-time factor
    of repeat consumption (Bhagat et al. 2018, "Buy it again: modeling repeat purchase recommendations", KDD,
    section 4.3) brought to a height of one at the usual interval: low right after a purchase and low again
    when the user has long stopped. The two sides have a power each: for a list that is to hold for weeks,
    what was bought yesterday is no worse. The usual interval of u and i is the mean of the own gaps, smoothed
    with the item's, which is smoothed with that of all items; things done at one moment have no gap.

    r(i) is the repeat rate of the item over that of all: Σ over its buyers of (times − 1)^shape / buyers,
    drawn to the rate of its category (after the repeat vector of TREx, Li et al. 2024, "Are we really
    achieving better beyond-accuracy performance in next basket recommendation?", SIGIR).

    Only what the user had is recommended, and a score is the part of its own history entry alone. No product
    is like another here: `similar_items` is empty.
    """

    algorithm: ClassVar[str] = "buy_again"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = BuyAgainParameters
    parameters: BuyAgainParameters

    interval_: npt.NDArray[np.float32]
    """float32 (items,): usual days between two times of one user; +inf where nobody ever came back."""
    repeat_: npt.NDArray[np.float32]
    """float32 (items,): repeat rate over that of all items, positive; 1 where nothing tells them apart."""

    def _fit(self, dataset: Dataset) -> None:
        liked = self._remember(dataset)
        times, span, _ = _habits(self.history_.nnz, liked)
        gaps = np.maximum(times - 1, 0)
        items = len(dataset.items)
        days = np.bincount(self.history_.indices, weights=span, minlength=items)
        count = np.bincount(self.history_.indices, weights=gaps, minlength=items)
        if count.sum() > 0:
            smoothing = self.parameters.smoothing
            usual = (days + smoothing * days.sum() / count.sum()) / (count + smoothing)
        else:
            usual = np.full(items, np.inf)
        self.interval_ = usual.astype(np.float32)
        self.repeat_ = self._repeat_rates(times, np.asarray(dataset.item_features.category))
        self.history_ = self._weighed(self.history_, liked)

    def _repeat_rates(
        self, times: npt.NDArray[np.int64], category: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """The repeat rate r(i) of each item.

        Parameters
        ----------
        times : int64, shape (entries,)
            At how many moments each entry of `history_` was liked.
        category : int32, shape (items,)
            The category of each item, -1 for none.

        Returns
        -------
        float32, shape (items,)
            As `repeat_`.
        """
        chosen, items = self.parameters, category.size
        again = np.where(times > 1, np.power(np.maximum(times - 1, 1.0), chosen.repeat_shape), 0.0)
        repeats = np.bincount(self.history_.indices, weights=again, minlength=items)
        buyers = np.bincount(self.history_.indices, weights=times > 0, minlength=items)
        if repeats.sum() == 0:
            return np.ones(items, dtype=np.float32)
        overall = repeats.sum() / buyers.sum()
        # a category of few buyers is drawn to all items, in the same way; code -1 is a category, too
        of_category = np.bincount(category + 1, weights=repeats) + chosen.repeat_strength * overall
        rate = of_category / (np.bincount(category + 1, weights=buyers) + chosen.repeat_strength)
        own = repeats + chosen.repeat_strength * rate[category + 1]
        return np.asarray(own / (buyers + chosen.repeat_strength) / overall, dtype=np.float32)

    def _weighed(self, matrix: sparse.csr_matrix, liked: Liked) -> sparse.csr_matrix:
        chosen = self.parameters
        if chosen.early_power == chosen.late_power == chosen.repeat == 0:
            return matrix
        times, span, last = _habits(matrix.nnz, liked)
        item = self.interval_[matrix.indices].astype(np.float64)
        usual = (span + chosen.smoothing * item) / (np.maximum(times - 1, 0) + chosen.smoothing)
        since = np.maximum(self.moment_ - last, 0) / MICROSECONDS_PER_DAY
        # nobody buys it again, or no time is known: when it is due is unknown
        timed = (last != 0) & np.isfinite(usual)
        ratio = np.divide(since, usual, out=np.ones_like(since), where=timed)
        # the factor has zeros at both ends: a day early or years late must still be a score
        ratio = np.clip(ratio, 0.02, 20.0)
        power = np.where(ratio < 1.0, chosen.early_power, chosen.late_power)
        due = np.power(ratio * np.exp(1.0 - ratio), power)
        weight = due * np.power(self.repeat_[matrix.indices].astype(np.float64), chosen.repeat)
        data = np.where(matrix.data > 0, np.maximum(matrix.data * weight, 1e-30), 0.0).astype(np.float32)
        return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        scatter(history, out)

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        return SparseScores(positive(request.history))

    def _score_similar(self, items: Rows, out: Scores) -> None:
        out.fill(-np.inf)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return own_entries(history, items), np.zeros(items.size, dtype=np.float32)

    def _arrays(self) -> Arrays:
        return {
            "interval": self.interval_,
            "repeat": self.repeat_,
            "source_half_life": np.array([self.source_half_life_]),
        }

    def _restore(self, arrays: Arrays) -> None:
        self.interval_, self.repeat_ = arrays["interval"], arrays["repeat"]
        self.source_half_life_ = float(arrays["source_half_life"][0])


def _habits(
    entries: int, liked: Liked
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """How often each entry was liked, over what time, and when last.

    Returns
    -------
    times : int64, shape (entries,)
        At how many moments it was liked.
    span : float64, shape (entries,)
        Days from the first to the last.
    last : int64, shape (entries,)
        The last moment, microseconds since 1970; 0: never.
    """
    order = np.lexsort((liked.time, liked.entry))
    entry, time = liked.entry[order], liked.time[order]
    first_of_entry = np.ones(entry.size, dtype=bool)
    first_of_entry[1:] = entry[1:] != entry[:-1]
    moment = first_of_entry.copy()
    moment[1:] |= time[1:] != time[:-1]
    times = np.bincount(entry[moment], minlength=entries)
    first, last = np.zeros(entries, dtype=np.int64), np.zeros(entries, dtype=np.int64)
    first[entry[first_of_entry]] = time[first_of_entry]
    end_of_entry = np.append(first_of_entry[1:], True)[: entry.size]
    last[entry[end_of_entry]] = time[end_of_entry]
    return times, (last - first) / MICROSECONDS_PER_DAY, last
