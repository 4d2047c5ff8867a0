"""Amazon Beauty sequences: the last item of each user held out, every unseen item ranked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from recsys.errors import Invalid
from training.benchmarks.chosen import BenchmarkSettings
from training.benchmarks.datasets import open_text, purchases, whole_numbers
from training.benchmarks.measure import Result, judged, metered

__all__ = ["Sequences", "next_item", "read", "run", "shuffled"]

K = 10
METRICS = ("hit_rate", "ndcg")

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Events in the order of each user: int64 columns of one length, `place` counting from 0 per user."""

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    users: int
    items: int

    def without_last(self, count: int = 1) -> Sequences:
        """The same with the last `count` events of each user cut off."""
        length = np.bincount(self.user, minlength=self.users)
        keep = self.place < length[self.user] - count
        return Sequences(self.user[keep], self.item[keep], self.place[keep], self.users, self.items)


def read(folder: Path) -> Sequences:
    """Read sequences.txt (a line per user: user, then its items in time order; gzip or plain).

    Raises NotFound for a missing file, Invalid for a line that is not numbers.
    """
    user: list[int] = []
    item: list[int] = []
    place: list[int] = []
    with open_text(folder, "sequences.txt") as lines:
        for number, line in enumerate(lines, 1):
            values = whole_numbers(line, f"{folder / 'sequences.txt'}, line {number}")
            user += values[:1] * (len(values) - 1)
            item += values[1:]
            place += range(len(values) - 1)
    if not user:
        raise Invalid(f"{folder}: sequences.txt holds no event")
    columns = [np.array(column, dtype=np.int64) for column in (user, item, place)]
    return Sequences(columns[0], columns[1], columns[2], max(user) + 1, max(item) + 1)


def next_item(sequences: Sequences) -> tuple[Dataset, sparse.csr_matrix]:
    """All but each user's last event to learn from, and that event, csr (users, items), to be found.

    Users with fewer than two events are learned from and not asked about.
    """
    train = sequences.without_last()
    length = np.bincount(sequences.user, minlength=sequences.users)
    last = (sequences.place == length[sequences.user] - 1) & (length[sequences.user] > 1)
    shape = (sequences.users, sequences.items)
    found = (np.ones(int(last.sum()), np.float32), (sequences.user[last], sequences.item[last]))
    relevant = sparse.csr_matrix(found, shape=shape)
    # the file tells an order and no times: a day per place stands for it
    return purchases(*shape, train.user, train.item, train.place * 86_400_000_000), relevant


def shuffled(sequences: Sequences, run_length: int, seed: int) -> Sequences:
    """The order inside every run of `run_length` neighbours destroyed, for learning and for the test alike.

    Reproductions say that the order of purchases of one day leaks in this data: such a day is one order form,
    written in a fixed order. The file has no dates, so which events share a day cannot be known from it; runs
    counted from the end of each history stand in for days, and the held-out item is then any of the last run.
    With half of the events in such pairs this is a harder test than shuffling real days would be.
    """
    rng = np.random.default_rng(seed)
    length = np.bincount(sequences.user, minlength=sequences.users)
    from_end = length[sequences.user] - 1 - sequences.place
    order = np.lexsort((rng.random(sequences.user.size), -(from_end // run_length), sequences.user))
    user = sequences.user[order]
    place = np.arange(user.size) - np.searchsorted(user, user)
    return Sequences(user, sequences.item[order], place, sequences.users, sequences.items)


def run(
    sequences: Sequences,
    settings: BenchmarkSettings,
    names: Sequence[str],
    *,
    variant: str = "",
    progress: Progress,
) -> list[Result]:
    """Fit and judge the models `names`; `variant` is said beside each."""
    dataset, relevant = next_item(sequences)
    dataset.fingerprint  # noqa: B018 - computed once and kept, so that no model pays for it
    asked = np.flatnonzero(np.diff(relevant.indptr))
    results: list[Result] = []
    for name in names:
        progress(f"fitting {name} {variant}".rstrip())
        model = settings.models[name].create()
        with metered() as meter:
            model.fit(dataset)
        ranking = model.recommend(asked, K, exclude="seen")
        values = judged(ranking, relevant[asked], K, METRICS)
        figures = {_short(metric): float(value.mean()) for metric, value in values.items()}
        shown = f"{name} ({variant})" if variant else name
        results.append(Result(shown, figures, meter.seconds, meter.peak_mib, per_user=values))
    return results


def _short(metric: str) -> str:
    return metric.replace("hit_rate", "hr")
