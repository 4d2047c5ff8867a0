"""What a hybrid learns from: earlier moments of the same shop, and what users took up after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.holdout import HeldOut, Protocol, Question, held_out
from features.splitting.windows import Window
from models import base
from models.base import Recommender
from models.hybrid.candidate_generation import CandidatePairs, Panel, joined
from models.hybrid.ranking_features import FeatureSnapshot, Habits
from models.hybrid.strategy_selection import Examples
from models.ranking.filters import RankRequest, Selection, summed_histories
from models.shared.fitted_members import FittedMembers
from models.shared.memory_budget import free_bytes
from models.shared.parallel import WORKERS, even_parts, in_parallel
from recsys.errors import Invalid
from recsys.processes.heap import trim_heap

__all__ = ["QUESTIONS", "Creators", "fitted", "observe", "observe_last"]

QUESTIONS: tuple[Question, ...] = ("any", "new")
"""`any`: all products; `new`: those the user never touched before."""

Rows = npt.NDArray[np.int64]

ASKED_AGAIN = 5
"""A user teaches at most so many successes of one window, each with what came before it."""

Creators = Mapping[str, Callable[[], Recommender]]
"""Member name → an unfitted model."""


def fitted(members: Creators, dataset: Dataset, known: FittedMembers | None) -> tuple[Panel, dict[str, str]]:
    """The members that could be fitted, side by side where memory allows it, and why others could not.

    Parameters
    ----------
    known
        Models that were fitted on this dataset already, where a caller has some.
    """

    def fit(name: str) -> Recommender | str:
        try:
            model = members[name]()
            return model.fit(dataset) if known is None else known.fit(model, dataset)
        except Invalid as error:
            return error.message

    shape = len(dataset.users), len(dataset.items), int(dataset.touched.nnz)
    largest = sorted(create().forecast(*shape) for create in members.values())[-WORKERS:]
    run = in_parallel if sum(largest) < free_bytes() // 2 else _one_by_one
    found = dict(zip(members, run(fit, list(members)), strict=True))
    trim_heap()
    models = {name: each for name, each in found.items() if isinstance(each, Recommender)}
    refused = {name: each for name, each in found.items() if isinstance(each, str)}
    return Panel(models), refused


def _one_by_one(fit: Callable[[str], Recommender | str], names: list[str]) -> list[Recommender | str]:
    return [fit(name) for name in names]


def observe(
    panel: Panel,
    train: Dataset,
    dataset: Dataset,
    window: Window,
    protocol: Protocol,
    *,
    length: int,
    users: int,
    seed: int,
) -> dict[Question, Examples]:
    """Each question's candidates for at most `users` of those who took up something in the window."""
    facts = FeatureSnapshot.learn(train, (window.end - window.start) / MICROSECONDS_PER_DAY)
    panel = _shown(panel, train)
    held = [_some(held_out(train, dataset, window, protocol, q, ASKED_AGAIN), users, seed) for q in QUESTIONS]
    if protocol == "window":  # the same histories for both questions: the members are asked once
        return {each.question: found for each, found in _asked_together(panel, train, held, facts, length)}
    return {
        each.question: _asked_apart(panel, train, each, facts, length) for each in held if each.users.size
    }


def observe_last(
    panel: Panel, train: Dataset, held: Sequence[HeldOut], days: float, *, length: int
) -> dict[Question, Examples]:
    """The same for what `models.hybrid.last_successes` holds out.

    Parameters
    ----------
    days
        What counts as lately.
    """
    found = _asked_together(_shown(panel, train), train, held, FeatureSnapshot.learn(train, days), length)
    return {each.question: examples for each, examples in found}


def _shown(panel: Panel, train: Dataset) -> Panel:
    """The panel that knows which products the catalogue does not show."""
    inactive = ~np.asarray(train.item_features.active)
    return Panel(panel.members, inactive if inactive.any() else None, panel.pool)


def _some(held: HeldOut, users: int, seed: int) -> HeldOut:
    """At most so many of the users, by a draw that is the same for both questions."""
    everybody = np.unique(held.users)
    if everybody.size > users:
        draw = np.random.default_rng([seed, 0]).random(int(everybody[-1]) + 1)
        everybody = np.sort(everybody[np.argsort(draw[everybody], kind="stable")[:users]])
    rows = np.flatnonzero(np.isin(held.users, everybody))
    histories = None if held.histories is None else tuple(held.histories[row] for row in rows)
    return HeldOut(
        held.question,
        held.users[rows],
        sparse.csr_matrix(held.relevant[rows]),
        histories,
        held.asked_at[rows],
    )


def _asked_together(
    panel: Panel, train: Dataset, held: Sequence[HeldOut], facts: FeatureSnapshot, length: int
) -> list[tuple[HeldOut, Examples]]:
    users = np.unique(np.concatenate([each.users for each in held]))
    places = train.users.index(users)

    def look(part: Rows) -> list[CandidatePairs]:
        own, history = places[part], train.touched[places[part]]
        blocks = panel.opinions(RankRequest(history, own, Selection.all()))
        # in the order of QUESTIONS: what was seen is left out of the same scores last
        return [
            panel.candidates(blocks, RankRequest(history, own, _eligible(each.question)), length)
            for each in held
        ]

    found = in_parallel(look, _blocks(panel, users.size, train))
    examples = []
    for place, each in enumerate(held):
        if not each.users.size:
            continue
        candidates = joined([parts[place] for parts in found])
        rows = np.searchsorted(users, each.users)
        placed = sparse.csr_matrix(
            (np.ones(rows.size, np.int8), (rows, np.arange(rows.size))), shape=(users.size, rows.size)
        )
        relevant = sparse.csr_matrix(placed @ each.relevant.astype(np.int8)).astype(bool)
        everybody = _examples(users, candidates, relevant, facts, facts.habits.take(places))
        examples.append((each, everybody.take(rows)))
    return examples


def _asked_apart(
    panel: Panel, train: Dataset, held: HeldOut, facts: FeatureSnapshot, length: int
) -> Examples:
    assert held.histories is not None
    histories = held.histories

    def look(part: Rows) -> CandidatePairs:
        some = [histories[row] for row in part]
        unknown = np.full(part.size, -1, dtype=np.int64)
        request = RankRequest(summed_histories(some, train.items), unknown, _eligible(held.question), some)
        return panel.candidates(panel.opinions(request), request, length)

    candidates = joined(in_parallel(look, _blocks(panel, held.users.size, train)))
    return _examples(held.users, candidates, held.relevant, facts, facts.habits_of(histories, train.items))


def _examples(
    users: Rows,
    candidates: CandidatePairs,
    relevant: sparse.csr_matrix,
    facts: FeatureSnapshot,
    habits: Habits,
) -> Examples:
    sizes = np.diff(relevant.indptr).astype(np.int64)
    return Examples(users, candidates, _listed(candidates, relevant), sizes, facts, habits)


def _eligible(question: Question) -> Selection:
    return Selection(question == "new", np.empty(0, np.int64), None)


def _blocks(panel: Panel, users: int, train: Dataset) -> list[Rows]:
    size = max(1, base.BLOCK_BYTES // (4 * panel.width(len(train.items))))
    return even_parts(users, size)


def _listed(candidates: CandidatePairs, relevant: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    owner = np.repeat(np.arange(relevant.shape[0], dtype=np.int64), np.diff(relevant.indptr))
    keys = owner * relevant.shape[1] + relevant.indices
    listed: npt.NDArray[np.bool_] = np.isin(candidates.owner * relevant.shape[1] + candidates.item, keys)
    return listed
