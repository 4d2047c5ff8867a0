"""What a score means: learned, for each question, from that question's own lists, of all active users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.base import Recommender
from models.ranking.calibration import Calibration
from training.evaluation.evaluator import Evaluation
from training.evaluation.splits import Split, View

__all__ = ["Outcomes", "calibrate", "outcomes"]

IDLE = 5_000
"""Lists of at most so many users are made who took up nothing in the test period."""
BATCH = 256


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Recommended products of a question and what became of them; one entry each.

    users int64, scores float32, taken bool, weights float64: how many places of lists each stands for.
    """

    users: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    taken: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]

    def of(self, some: npt.NDArray[np.bool_]) -> Outcomes:
        """Those entries."""
        return Outcomes(self.users[some], self.scores[some], self.taken[some], self.weights[some])


def calibrate(found: Outcomes) -> Calibration | None:
    """From scores to the share of recommended products that users take up within the test period.

    None where no list was judged.
    """
    if not found.scores.size:
        return None
    return Calibration.fit(found.scores, found.taken, found.weights)


def outcomes(model: Recommender, evaluation: Evaluation, split: Split, view: View, seed: int) -> Outcomes:
    """What all active users took up of their lists: those who did anything before the test period.

    The test users' lists are those of `evaluation`. A user who took up nothing that was asked for in the test
    period has a list too when the shop is scored, so theirs count as well, nothing of them taken: of a sample
    of IDLE, which stands for all of them.
    """
    result = evaluation.views[view]
    keep = (result.products >= 0) & np.isfinite(result.scores)
    owner = np.broadcast_to(result.users[:, None], keep.shape)
    users, scores, taken = owner[keep], result.scores[keep], result.hits[keep]
    weights = np.ones(scores.size)
    if split.folds[view].histories is None:
        active = split.train.users.ids[np.diff(split.train.touched.indptr) > 0]
        idle = np.setdiff1d(active, result.users)
        sample = idle
        if idle.size > IDLE:
            sample = np.sort(np.random.default_rng(seed).choice(idle, IDLE, replace=False))
        owner, more = _lists(model, sample, result.products.shape[1], view)
        users, scores = np.concatenate([users, owner]), np.concatenate([scores, more])
        taken = np.concatenate([taken, np.zeros(more.size, dtype=bool)])
        weights = np.concatenate([weights, np.full(more.size, idle.size / max(1, sample.size))])
    return Outcomes(users, scores, taken, weights)


def _lists(
    model: Recommender, users: npt.NDArray[np.int64], k: int, view: View
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Whose, and with which score, each place of these users' lists is."""
    owners, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for start in range(0, users.size, BATCH):
        ranking = model.recommend(users[start : start + BATCH], k, exclude="seen" if view == "new" else None)
        there = (ranking.products >= 0) & np.isfinite(ranking.scores)
        owners.append(np.broadcast_to(ranking.queries[:, None], there.shape)[there])
        scores.append(ranking.scores[there])
    return np.concatenate(owners), np.concatenate(scores)
