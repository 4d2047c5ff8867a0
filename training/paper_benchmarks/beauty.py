"""Amazon Beauty sequences: the last item of each user held out, every unseen item ranked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models.hybrid.blend import Blend, pool
from models.results import Ranking
from recsys.errors import Invalid
from training.evaluation.metrics import find_hits
from training.paper_benchmarks.chosen_settings import BenchmarkSettings
from training.paper_benchmarks.datasets import open_text, purchases, whole_numbers
from training.paper_benchmarks.runner import Result, judged, metered

__all__ = ["Sequences", "learn_blend", "next_item", "read", "run", "shuffled"]

K = 10
LIST = 100
METRICS = ("hit_rate", "ndcg")

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Events in the order of each user.

    Attributes
    ----------
    user, item : int64, shape (events,)
        Numbers from 0.
    place : int64, shape (events,)
        Of the event in the order of its user, from 0.
    users, items
        How many there are.
    attributes
        One string per item, its attributes as words; empty where nothing is known.
    """

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    users: int
    items: int
    attributes: list[str]

    def without_last(self, count: int = 1) -> Sequences:
        """The same with the last `count` events of each user cut off."""
        length = np.bincount(self.user, minlength=self.users)
        keep = self.place < length[self.user] - count
        return replace(self, user=self.user[keep], item=self.item[keep], place=self.place[keep])


def read(folder: Path) -> Sequences:
    """Read sequences.txt and, if it exists, item_attributes.json; both gzip or plain.

    A line of sequences.txt is a user, then the user's items in time order. item_attributes.json maps an item
    to the numbers of its attributes.

    Raises
    ------
    NotFound
        For a missing sequences.txt.
    Invalid
        For a line that is not numbers, and for a file without events.
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
    items = max(item) + 1
    return Sequences(columns[0], columns[1], columns[2], max(user) + 1, items, _attributes(folder, items))


def _attributes(folder: Path, items: int) -> list[str]:
    words = [""] * items
    name = "item_attributes.json"
    if not any((folder / each).is_file() for each in (name, f"{name}.gz")):
        return words
    with open_text(folder, name) as text:
        for item, attributes in json.load(text).items():
            if int(item) < items:
                words[int(item)] = " ".join(map(str, attributes))
    return words


def next_item(sequences: Sequences) -> tuple[Dataset, sparse.csr_matrix]:
    """All but each user's last event to learn from, and that event to be found.

    Users with fewer than two events are learned from and not asked about.

    Returns
    -------
    dataset : Dataset
        What to learn from.
    relevant : csr of float32, shape (users, items)
        What is to be found.
    """
    train = sequences.without_last()
    length = np.bincount(sequences.user, minlength=sequences.users)
    last = (sequences.place == length[sequences.user] - 1) & (length[sequences.user] > 1)
    shape = (sequences.users, sequences.items)
    found = (np.ones(int(last.sum()), np.float32), (sequences.user[last], sequences.item[last]))
    relevant = sparse.csr_matrix(found, shape=shape)
    # the file tells an order and no times: a day per place stands for it
    dataset = purchases(*shape, train.user, train.item, train.place * 86_400_000_000)
    return replace(dataset, item_features=replace(dataset.item_features, text=sequences.attributes)), relevant


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
    return replace(sequences, user=user, item=sequences.item[order], place=place)


def run(
    sequences: Sequences,
    settings: BenchmarkSettings,
    names: Sequence[str],
    *,
    blend: bool = False,
    variant: str = "",
    progress: Progress,
) -> list[Result]:
    """Fit and judge the models `names`, and the blend of those that `settings.blend` weighs.

    Parameters
    ----------
    blend
        Whether to judge the blend, too.
    variant
        Noted with each result.
    progress
        Called with one line before each long step.
    """
    members = settings.blend if blend else {}
    every = list(dict.fromkeys([*names, *members]))
    lists, results, relevant = _fitted(sequences, settings, every, variant=variant, progress=progress)
    if members:
        ranking = Blend(members).rank(pool([lists[name] for name in members]), K)
        note = "here: " + ", ".join(f"{name} {weight:g}" for name, weight in members.items())
        seconds = sum(
            result.fit_seconds for result, name in zip(results, every, strict=True) if name in members
        )
        peak = max(result.peak_rss_mib for result in results)
        results.append(_result(_named("hybrid", variant), ranking, relevant, seconds, peak, note))
    return results


def learn_blend(
    sequences: Sequences, settings: BenchmarkSettings, names: Sequence[str], *, progress: Progress
) -> tuple[Blend, list[Result]]:
    """Weights of the models `names`, learned on the last item but one of each user; no test item is seen."""
    fold = sequences.without_last()
    lists, results, relevant = _fitted(fold, settings, names, variant="validation", progress=progress)
    progress("learning the weights")
    candidates = pool([lists[name] for name in names])
    rng = np.random.default_rng(settings.validation.get("seed", 1))
    users = np.sort(rng.permutation(len(candidates.products))[: settings.validation.get("learn_on", 8_000)])
    part, right = candidates.take(users), relevant[users]
    hits = find_hits(part.products, right)
    blend = Blend.learn(names, part, hits, np.diff(right.indptr).astype(np.int64), k=K)
    results.append(_result("hybrid (validation)", blend.rank(candidates, K), relevant, 0.0, 0.0, ""))
    return blend, results


def _fitted(
    sequences: Sequences,
    settings: BenchmarkSettings,
    names: Sequence[str],
    *,
    variant: str,
    progress: Progress,
) -> tuple[dict[str, Ranking], list[Result], sparse.csr_matrix]:
    """Lists by model, their results, and what is to be found, csr (asked users, items)."""
    dataset, relevant = next_item(sequences)
    dataset.fingerprint  # noqa: B018 - computed once and kept, so that no model pays for it
    asked = np.flatnonzero(np.diff(relevant.indptr))
    lists: dict[str, Ranking] = {}
    results: list[Result] = []
    for name in names:
        progress(f"fitting {name} {variant}".rstrip())
        model = settings.models[name].create()
        with metered() as meter:
            model.fit(dataset)
        ranking = model.recommend(asked, LIST, exclude="seen")
        lists[name] = ranking
        shown = _named(name, variant)
        results.append(_result(shown, ranking, relevant[asked], meter.seconds, meter.peak_mib, ""))
    return lists, results, relevant[asked]


def _result(
    name: str, ranking: Ranking, relevant: sparse.csr_matrix, seconds: float, peak: float, note: str
) -> Result:
    values = judged(ranking, relevant, K, METRICS)
    figures = {_short(metric): float(value.mean()) for metric, value in values.items()}
    return Result(name, figures, seconds, peak, note, values)


def _named(name: str, variant: str) -> str:
    return f"{name} ({variant})" if variant else name


def _short(metric: str) -> str:
    return metric.replace("hit_rate", "hr")
