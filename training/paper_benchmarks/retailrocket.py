"""RetailRocket: the last bought item of each user held out; views, carts and earlier buys are the input."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import InteractionWeights
from models.ranking.filters import Exclude
from models.shared.pair_values import values_at
from recsys.domains.recommendations.types import INTERACTION_TYPES, InteractionType
from recsys.errors import Invalid
from training.evaluation.significance import PairedDifference, compare
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings
from training.paper_benchmarks.datasets import bare_dataset, open_text
from training.paper_benchmarks.runner import Result, judged, metered

__all__ = ["Log", "compared", "discoveries", "fit_weights", "hold_out_last_buy", "read", "run"]

K = 20
METRICS = ("recall", "ndcg")
EVENTS = {
    "view": InteractionType.VIEW,
    "cart": InteractionType.ADD_TO_CART,
    "buy": InteractionType.PURCHASE,
}
BUY = INTERACTION_TYPES.index(InteractionType.PURCHASE)
MICROSECONDS = 1_000_000
GRID = {
    "view": (0.0, 0.1, 0.3, 1.0, 3.0),
    "cart": (0.0, 0.3, 1.0, 3.0, 10.0),
    "buy": (0.0, 0.1, 0.3, 1.0, 3.0),
    "half_life_days": (2.0, 7.0, 20.0, 60.0, 1000.0),
}

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Log:
    """Events in time order: int64 columns of one length; kind is a position in INTERACTION_TYPES."""

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    users: int
    items: int

    def take(self, keep: npt.NDArray[np.bool_]) -> Log:
        """The events of a mask; users and items keep their numbers."""
        return replace(
            self, user=self.user[keep], item=self.item[keep], kind=self.kind[keep], time=self.time[keep]
        )

    def dataset(self, weights: InteractionWeights) -> Dataset:
        """What models learn from, each event weighed by `weights`."""
        columns = {"user": self.user, "item": self.item, "kind": self.kind, "time": self.time}
        return bare_dataset(self.users, self.items, columns, weights)


def read(folder: Path) -> Log:
    """Read events.csv (user,item,event,ts: whole numbers, event one of view, cart, buy, ts in seconds).

    Raises
    ------
    NotFound
        For a missing file.
    Invalid
        For a file of another form, with the line's number, and for one without events.
    """
    rows: list[tuple[int, int, int, int]] = []
    with open_text(folder, "events.csv") as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                kind = INTERACTION_TYPES.index(EVENTS[row["event"]])
                rows.append((int(row["ts"]), int(row["user"]), int(row["item"]), kind))
            except (KeyError, ValueError, TypeError) as error:
                raise Invalid(
                    f"{folder / 'events.csv'}, line {number}: expected user,item,event,ts with an event of "
                    f"{', '.join(EVENTS)}, found {row}"
                ) from error
    if not rows:
        raise Invalid(f"{folder}: events.csv holds no event")
    time, user, item, kind = np.array(sorted(rows), dtype=np.int64).T
    return Log(user, item, kind, time * MICROSECONDS, int(user.max()) + 1, int(item.max()) + 1)


def hold_out_last_buy(log: Log, least: int = 2) -> tuple[Log, sparse.csr_matrix]:
    """For each user with `least` buys or more: what came before the last buy, and that item to be found.

    Everything the user did at or after the moment of that buy is cut off, so nothing of it leaks; what led
    up to it (its own view and cart among them) stays, as it would in a live shop. Users with fewer buys
    teach whole.
    """
    buys = np.flatnonzero(log.kind == BUY)
    count = np.bincount(log.user[buys], minlength=log.users)
    last = np.full(log.users, -1, dtype=np.int64)
    last[log.user[buys]] = buys  # time order: the last assignment is the last buy
    asked = np.flatnonzero(count >= least)
    cut = np.full(log.users, np.iinfo(np.int64).max)
    cut[asked] = log.time[last[asked]]
    found = (np.ones(asked.size, np.float32), (asked, log.item[last[asked]]))
    relevant = sparse.csr_matrix(found, shape=(log.users, log.items))
    return log.take(log.time < cut[log.user]), relevant


def discoveries(log: Log, settings: BenchmarkSettings, *, validate: bool, progress: Progress) -> list[Result]:
    """Each model of the settings on products that are new to the user.

    The last bought product of each user with a buy is to be found, and every earlier interaction of that user
    with that product is hidden; products the user interacted with are not listed. Weights of interaction
    types are the service's defaults. `validate` judges the users of even numbers, on whom settings are
    chosen; without it those of odd numbers are judged. Both are held out of both fits.
    """
    train, relevant = hold_out_last_buy(log, least=1)
    own = values_at(relevant, train.user, train.item) > 0
    train = train.take(~own)
    active = np.bincount(train.user, minlength=log.users) > 0
    asked = np.flatnonzero((np.diff(relevant.indptr) > 0) & active)
    asked = asked[asked % 2 == (0 if validate else 1)]
    dataset = train.dataset(InteractionWeights())
    dataset.fingerprint  # noqa: B018 - computed once and kept, so that the fit does not pay for it
    results: list[Result] = []
    for name, model in settings.models.items():
        progress(f"fitting {name}")
        results.append(_judge_model(name, model, dataset, relevant, asked, exclude="seen"))
    return results


def run(log: Log, settings: BenchmarkSettings, model: ModelSettings, *, progress: Progress) -> list[Result]:
    """The model under fitted weights, equal weights and buys alone, on the held-out last buys."""
    weights = {
        "fitted": settings.weights,
        "equal": {"view": 1.0, "cart": 1.0, "buy": 1.0, "half_life_days": 36_500.0},
        "buys alone": {"view": 0.0, "cart": 0.0, "buy": 1.0, "half_life_days": 36_500.0},
    }
    train, relevant = hold_out_last_buy(log)
    results: list[Result] = []
    for name, chosen in weights.items():
        progress(f"{model.name} with {name} weights")
        results.append(_judge(f"{model.name}, {name}", train, relevant, model, chosen))
    return results


def compared(results: list[Result], seed: int) -> dict[str, PairedDifference]:
    """The first result against each other one, paired by user, NDCG@20."""
    first, *others = results
    key = f"ndcg@{K}"
    return {
        other.model: compare(first.per_user[key], other.per_user[key], draws=10_000, seed=seed)
        for other in others
    }


def fit_weights(log: Log, model: ModelSettings, *, rounds: int = 2, progress: Progress) -> dict[str, float]:
    """Weights per event type and half-life that maximise NDCG@20 of each user's last buy but the test's.

    Coordinate search over GRID, each round one coordinate after the other. The log before each user's last
    buy is all it sees: the test's answers are cut off first.
    """
    past, _ = hold_out_last_buy(log)
    train, relevant = hold_out_last_buy(past, least=1)
    best = {"view": 1.0, "cart": 3.0, "buy": 1.0, "half_life_days": 60.0}
    value = _judge("", train, relevant, model, best).figures[f"ndcg@{K}"]
    for _ in range(rounds):
        before = dict(best)
        for name, grid in GRID.items():
            for tried in grid:
                candidate = best | {name: tried}
                if candidate == best or not any(candidate[event] > 0 for event in EVENTS):
                    continue
                found = _judge("", train, relevant, model, candidate).figures[f"ndcg@{K}"]
                if found > value:
                    best, value = candidate, found
            progress(f"validation NDCG@{K} {value:.4f} with {best}")
        if best == before:
            break
    return best


def _judge(
    name: str, train: Log, relevant: sparse.csr_matrix, settings: ModelSettings, chosen: dict[str, float]
) -> Result:
    by_type = {EVENTS[event].value: chosen[event] for event in EVENTS}
    dataset = train.dataset(InteractionWeights(by_type, half_life_days=chosen["half_life_days"]))
    dataset.fingerprint  # noqa: B018 - computed once and kept, so that the fit does not pay for it
    asked = np.flatnonzero(np.diff(relevant.indptr))
    return _judge_model(name, settings, dataset, relevant, asked, exclude=None)


def _judge_model(
    name: str,
    settings: ModelSettings,
    dataset: Dataset,
    relevant: sparse.csr_matrix,
    asked: npt.NDArray[np.int64],
    *,
    exclude: Exclude,
) -> Result:
    model = settings.create()
    with metered() as meter:
        model.fit(dataset)
    ranking = model.recommend(asked, K, exclude=exclude)
    values = judged(ranking, relevant[asked], K, METRICS)
    figures = {metric: float(value.mean()) for metric, value in values.items()}
    return Result(name, figures, meter.seconds, meter.peak_mib, per_user=values)
