"""What a hybrid learns from: earlier moments of the same shop, and what users took up after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.holdout import HeldOut, Protocol, Question, held_out
from features.interactions import MICROSECONDS_PER_DAY
from features.windows import Window
from models import base
from models.base import Recommender
from models.hybrid.candidate_generation import Candidates, Panel, joined
from models.hybrid.ranking_features import Facts
from models.hybrid.strategy_selection import Examples
from models.selection import Asked, Selection, summed_histories
from models.shared.fitted_members import FittedMembers
from models.threads import in_parallel
from recsys.errors import Invalid

__all__ = ["QUESTIONS", "Creators", "fitted", "observe"]

QUESTIONS: tuple[Question, ...] = ("any", "new")
"""`any`: all products; `new`: those the user never touched before."""

ASKED_AGAIN = 5
"""A user teaches at most so many successes of one window, each with what came before it."""

Creators = Mapping[str, Callable[[], Recommender]]
"""Member name → an unfitted model."""


def fitted(members: Creators, dataset: Dataset, known: FittedMembers | None) -> tuple[Panel, dict[str, str]]:
    """The members that could be fitted, one after the other, and why others could not.

    known : models that were fitted on this dataset already, where a caller has some.
    """
    models, refused = {}, {}
    for name, create in members.items():
        try:
            model = create()
            models[name] = model.fit(dataset) if known is None else known.fit(model, dataset)
        except Invalid as error:
            refused[name] = error.message
    return Panel(models), refused


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
    facts = Facts.learn(train, (window.end - window.start) / MICROSECONDS_PER_DAY)
    examples: dict[Question, Examples] = {}
    for question in QUESTIONS:
        held = held_out(train, dataset, window, protocol, question, ASKED_AGAIN)
        rows = np.arange(held.users.size)
        if rows.size > users:
            rows = np.sort(np.random.default_rng([seed, 0]).permutation(rows)[:users])
        if rows.size:
            examples[question] = _of_question(panel, train, held, rows, facts, length)
    return examples


def _of_question(
    panel: Panel, train: Dataset, held: HeldOut, rows: npt.NDArray[np.int64], facts: Facts, length: int
) -> Examples:
    inactive = ~np.asarray(train.item_features.active)
    panel = Panel(panel.members, inactive if inactive.any() else None)
    eligible = Selection(held.question == "new", np.empty(0, np.int64), None)
    places = train.users.index(held.users)
    size = max(1, base.BLOCK_BYTES // (4 * len(train.items) * len(panel.members)))
    blocks = [rows[start : start + size] for start in range(0, rows.size, size)]

    def look(part: npt.NDArray[np.int64]) -> Candidates:
        if held.histories is None:
            asked = Asked(train.touched[places[part]], places[part], eligible)
        else:
            histories = [held.histories[row] for row in part]
            unknown = np.full(part.size, -1, dtype=np.int64)
            asked = Asked(summed_histories(histories, train.items), unknown, eligible, histories)
        lines = np.empty((len(panel.members), part.size, len(train.items)), dtype=np.float32)
        return panel.candidates(panel.opinions(asked, lines), asked, length)

    candidates = joined(in_parallel(look, blocks))
    relevant = sparse.csr_matrix(held.relevant[rows])
    if held.histories is None:
        habits = facts.habits.take(places[rows])
    else:
        habits = facts.told([held.histories[row] for row in rows], train.items)
    return Examples(
        held.users[rows],
        candidates,
        _listed(candidates, relevant),
        np.diff(relevant.indptr).astype(np.int64),
        facts,
        habits,
    )


def _listed(candidates: Candidates, relevant: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    owner = np.repeat(np.arange(relevant.shape[0], dtype=np.int64), np.diff(relevant.indptr))
    keys = owner * relevant.shape[1] + relevant.indices
    listed: npt.NDArray[np.bool_] = np.isin(candidates.owner * relevant.shape[1] + candidates.item, keys)
    return listed
