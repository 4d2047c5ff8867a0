"""Do calibrated scores mean what they say? Learned on one half of the users, shown on the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration
from training.evaluation.evaluate import Evaluation
from training.evaluation.report.parts import Reliability, ReliabilityBin

__all__ = ["BINS", "FEW", "bins_of", "reliability"]

BINS = 10
FEW = 20
"""With fewer users in a half nothing is shown."""


def reliability(evaluation: Evaluation, bins: int = BINS) -> Reliability | None:
    """The map from score to chance, fitted on every second user and held against the others.

    Every distinct (user, product) that either view recommended counts once, as in the calibration that the
    artifact carries. None when a half has fewer than FEW users.
    """
    users, scores, taken = _recommended(evaluation)
    _, place = np.unique(users, return_inverse=True)
    learned = place % 2 == 0
    fitted, shown = np.unique(users[learned]).size, np.unique(users[~learned]).size
    if min(fitted, shown) < FEW:
        return None
    calibration = Calibration.fit(scores[learned], taken[learned])
    found = bins_of(calibration(scores[~learned]).astype(np.float64), taken[~learned], bins)
    total = sum(one.count for one in found)
    ece = sum(one.count * abs(one.observed - one.predicted) for one in found) / total
    return Reliability(ece=ece, fitted_users=int(fitted), shown_users=int(shown), bins=found)


def bins_of(
    predicted: npt.NDArray[np.float64], taken: npt.NDArray[np.bool_], bins: int = BINS
) -> list[ReliabilityBin]:
    """Bins of about equal counts, equal predictions always in one; predicted float64 (n,), taken bool (n,).

    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", section 2, with bins of
    equal mass (Nguyen & O'Connor 2015), since chances of recommended products crowd near zero.
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    codes = np.searchsorted(edges, predicted, side="right")
    found = []
    for code in np.unique(codes):
        member = codes == code
        chances = predicted[member]
        found.append(
            ReliabilityBin(
                low=float(chances.min()),
                high=float(chances.max()),
                predicted=float(chances.mean()),
                observed=float(taken[member].mean()),
                count=int(member.sum()),
            )
        )
    return found


def _recommended(
    evaluation: Evaluation,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """User, score and outcome of each distinct recommended (user, product), the view `all` first."""
    pairs, scores, hits = [], [], []
    for view in ("all", "new"):
        result = evaluation.views[view]
        keep = (result.products >= 0) & np.isfinite(result.scores)
        owners = np.broadcast_to(result.users[:, None], keep.shape)
        pairs.append(np.stack([owners[keep], result.products[keep]], axis=1))
        scores.append(result.scores[keep].astype(np.float64))
        hits.append(result.hits[keep])
    both = np.concatenate(pairs)
    _, first = np.unique(both, axis=0, return_index=True)
    return both[first, 0], np.concatenate(scores)[first], np.concatenate(hits)[first]
