"""Do calibrated scores mean what they say? Learned on one half of the users, compared with the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.fit.calibration import Outcomes, calibrate
from training.report.sections import Reliability, ReliabilityBin

__all__ = ["BINS", "FEW", "MOST", "bins_of", "reliability"]

BINS = 10
FEW = 20
"""With fewer users in a half nothing is shown."""
MOST = 5_000
"""Users looked at: their lists hold half a million products, enough for a share to a tenth of a percent."""


def reliability(outcomes: Outcomes, bins: int = BINS) -> Reliability | None:
    """The map from score to chance, fitted on every second user and held against the others.

    Of the same recommended products as the calibration that the artifact carries. Of many users MOST are
    taken, evenly spread over their ids.

    Parameters
    ----------
    bins
        At most so many are shown.

    Returns
    -------
    Reliability or None
        None when a half has fewer than FEW users.
    """
    everybody, place = np.unique(outcomes.users, return_inverse=True)
    place, rest = np.divmod(place, max(1, -(-everybody.size // MOST)))
    half, chosen = place % 2 == 0, rest == 0
    learned, shown = outcomes.of(half & chosen), outcomes.of(~half & chosen)
    fitted_users, shown_users = np.unique(learned.users).size, np.unique(shown.users).size
    if min(fitted_users, shown_users) < FEW:
        return None
    calibration = calibrate(learned)
    if calibration is None or not shown.scores.size:
        return None
    chances = calibration(shown.scores)
    found = bins_of(chances, shown.taken, bins, shown.weights)
    total = sum(one.count for one in found)
    ece = sum(one.count * abs(one.observed - one.predicted) for one in found) / total
    return Reliability(ece=ece, fitted_users=int(fitted_users), shown_users=int(shown_users), bins=found)


def bins_of(
    predicted: npt.NDArray[np.float64],
    taken: npt.NDArray[np.bool_],
    bins: int = BINS,
    weights: npt.NDArray[np.float64] | None = None,
) -> list[ReliabilityBin]:
    """Bins of about equal counts, equal predictions always in one.

    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", section 2, with bins of
    equal mass (Nguyen & O'Connor 2015), since chances of recommended products crowd near zero.

    Parameters
    ----------
    predicted : float64, shape (n,)
        Chances, 0 to 1.
    taken : bool, shape (n,)
        Whether each product was taken up.
    bins
        At most so many.
    weights : float64, shape (n,)
        How many outcomes each stands for; None: 1.

    Returns
    -------
    list of ReliabilityBin
        In the order of the chances: the lowest, the highest, and their mean beside the share that was taken
        up, all 0 to 1, and how many outcomes they stand for.
    """
    mass = np.ones(predicted.size) if weights is None else weights
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
                predicted=float(np.average(chances, weights=mass[member])),
                observed=float(np.average(taken[member], weights=mass[member])),
                count=round(float(mass[member].sum())),
            )
        )
    return found
