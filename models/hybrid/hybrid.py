"""Hybrid: candidates of several models, put in order by the rule that a paired test leaves standing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from models import base, factory
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.content import ContentBased
from models.hybrid.backtest import LIKENESS, Plan, rehearse, without_rehearsal
from models.hybrid.candidate_generation import Panel
from models.hybrid.explanations import blended, member_parts, shared_out
from models.hybrid.parameters import HybridParameters
from models.hybrid.ranker import SecondStage
from models.hybrid.ranking_features import Facts, Habits
from models.hybrid.strategy_selection import Stage, columns
from models.hybrid.training_windows import TASKS, Task, fitted, windows
from models.newcomers import greeted, newcomers, unfitted
from models.selection import Asked, Selection, positive
from recsys.errors import Invalid

__all__ = ["Hybrid", "HybridParameters"]


class Hybrid(Recommender):
    """Candidates of several members, ordered by one rule per task: any product, and products new to the user.

    Two windows before the end of the data serve as a rehearsal: members fitted to the start of a window name
    candidates, and what users then took up says which were right. On the earlier window a blend (weights of
    scaled scores) and a second stage (LambdaRank over the members' opinions and `ranking_features`) are
    learned, on the later one they must beat the best member by a paired test, the simpler rule standing
    otherwise. Where there is only one window, half of its users learn and half judge. Then what was chosen
    is learned from both, and the members it needs are fitted on everything. The cascade is that of Covington,
    Adams & Sargin 2016, "Deep neural networks for YouTube recommendations", section 2; scaled scores beat
    rank fusion in `models.hybrid.blend`.

    Scores of the two tasks are not comparable. Asked to leave out what was seen, the rule for new products
    orders the list; everything else is the rule for any product, explanations too. Who did nothing yet, but
    said what they like, gets the list of a content-based model instead (`models.newcomers`).
    """

    algorithm: ClassVar[str] = "hybrid"
    kind: ClassVar[ModelKind] = ModelKind.HYBRID
    Parameters = HybridParameters
    parameters: HybridParameters

    panel_: Panel
    stages_: dict[Task, Stage]
    facts_: Facts | None
    """What the second stage is told of users and products; None where no task has one."""
    reasons_: dict[str, str]
    """Per task why its rule was chosen, and per member that is left out why."""
    newcomers_: ContentBased | None
    """Answers those who said what they like and did nothing; None where nobody said anything."""
    figures_: dict[str, dict[str, float]]
    """Per task the mean NDCG of each member and rule on the judged users."""

    def __init__(self, parameters: HybridParameters | None = None) -> None:
        super().__init__(parameters)
        for create in self._creators().values():
            create()  # a wrong member is refused before anything long begins

    @property
    def reason_(self) -> str:
        """Which rule each task has, and why, in one line."""
        return "; ".join(f"{what}: {why}" for what, why in self.reasons_.items())

    def _creators(self) -> dict[str, Callable[[], Recommender]]:
        def creator(name: str, given: Mapping[str, Any]) -> Callable[[], Recommender]:
            def create() -> Recommender:
                try:
                    model = factory.create(given["algorithm"], given.get("parameters"))
                except Invalid as error:
                    raise Invalid(f"member {name!r} of Hybrid: {error.message}", field="members") from error
                if (
                    "seed"
                    in {each.name for each in fields(model.parameters)} - given.get("parameters", {}).keys()
                ):
                    return type(model)(replace(model.parameters, seed=self.parameters.seed))
                return model

            return create

        return {name: creator(name, given) for name, given in self.parameters.members.items()}

    # --- fitting ---------------------------------------------------------------------------------

    def _fit(self, dataset: Dataset) -> None:
        chosen = self.parameters
        plan = Plan(
            chosen.validation_days, chosen.candidates, chosen.users, chosen.k, chosen.trees, chosen.seed
        )
        creators = self._creators()
        choices, refused = rehearse(creators, dataset, plan)
        if choices:
            wanted = {name for choice in choices.values() for name in choice.stage.members}
            self.panel_, late = fitted({n: creators[n] for n in creators if n in wanted}, dataset)
            if late:
                raise Invalid(
                    "the hybrid chose members that cannot be fitted on all data: "
                    + "; ".join(f"{name}: {why}" for name, why in late.items())
                )
        else:
            choices, self.panel_, refused = without_rehearsal(creators, dataset)
        self.stages_ = {task: choice.stage for task, choice in choices.items()}
        self.figures_ = {task: dict(choice.figures) for task, choice in choices.items()}
        self.reasons_ = {task: choice.reason for task, choice in choices.items()}
        self.reasons_ |= {name: f"left out: {why}" for name, why in refused.items()}
        self.facts_ = None
        if any(stage.ranker is not None for stage in self.stages_.values()):
            self.facts_ = Facts.learn(dataset, self._window_days(dataset))
        self.newcomers_ = newcomers(dataset, chosen.members.values())

    def _window_days(self, dataset: Dataset) -> float:
        last = windows(dataset, self.parameters.validation_days)[-1]
        return (last.end - last.start) / 86_400e6

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes beyond the members, which each forecast their own: one block, candidates, features."""
        chosen = self.parameters
        members = len(chosen.members)
        pairs = 2 * min(users, chosen.users) * min(items, members * chosen.candidates)
        return 200 * nnz + 3 * base.BLOCK_BYTES + pairs * (4 * (3 * members + 8) * 2 + 4 * 60)

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, asked: Asked, out: Scores) -> None:
        stage = self.stages_["new" if asked.shown.seen else "any"]
        panel = self.panel_.of(stage.members)
        out.fill(-np.inf)
        items = len(self.items_)
        size = max(1, base.BLOCK_BYTES // (4 * items * len(panel.members)))
        for start in range(0, asked.rows.size, size):
            part = slice(start, start + size)
            told = None if asked.told is None else asked.told[part]
            block = Asked(asked.history[part], asked.rows[part], asked.shown, told)
            lines = self._lines(len(panel.members), block.rows.size)
            panel.ask(block, lines)
            if stage.kind == "single":
                out[part] = lines[0]
                continue
            candidates = panel.candidates(lines, block, self.parameters.candidates)
            scores = stage.score(candidates, self._known_facts(), self._habits(block))
            out[part][candidates.owner, candidates.item] = scores
        new = greeted(self.newcomers_, asked)
        if self.newcomers_ is not None and new.size:
            scores = np.empty((new.size, items), dtype=np.float32)
            self.newcomers_._score(positive(asked.history[new]), asked.rows[new], scores)
            out[new] = scores

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        self._answer(Asked(history, rows, Selection.all()), out)

    def _lines(self, members: int, rows: int) -> npt.NDArray[np.float32]:
        size = members * rows * len(self.items_)
        kept: npt.NDArray[np.float32] | None = getattr(self._of_thread, "lines", None)
        if kept is None or kept.size < size:
            kept = np.empty(size, dtype=np.float32)
            self._of_thread.lines = kept
        return kept[:size].reshape(members, rows, len(self.items_))

    def _known_facts(self) -> Facts:
        return _NO_FACTS if self.facts_ is None else self.facts_

    def _habits(self, asked: Asked) -> Habits:
        facts = self._known_facts()
        if self.facts_ is None:
            return facts.habits
        if asked.told is None and (asked.rows >= 0).all():
            return facts.habits.take(asked.rows)
        return facts.told(asked.told or self.panel_.untimed(asked.history), self.items_)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        self._judge_of_likeness()._score_similar(items, out)

    def _judge_of_likeness(self) -> Recommender:
        by_algorithm: dict[str, Recommender] = {
            member.algorithm: member for member in reversed(list(self.panel_.members.values()))
        }
        for algorithm in LIKENESS:
            if algorithm in by_algorithm:
                return by_algorithm[algorithm]
        return next(iter(self.panel_.members.values()))

    # --- reasons ---------------------------------------------------------------------------------

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return self._reasons(Asked(history, np.array([row], dtype=np.int64), Selection.all()), items)

    def _reasons(self, asked: Asked, items: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Of the rule for any product; a member's part is shared out as the member itself explains it.

        A blend's score is a sum of the members' scores, so its parts are theirs. Trees add up by SHAP values:
        what they owe to a member's opinion goes to the history in the member's own proportions, what they
        owe to this very product's past goes to that product, and the rest is the baseline.
        """
        if self.newcomers_ is not None and greeted(self.newcomers_, asked).size:
            return self.newcomers_._reasons(asked, items)
        stage = self.stages_["any"]
        panel = self.panel_.of(stage.members)
        seen = asked.history.indices[asked.history.data > 0]
        told = [member_parts(member, asked, items, seen) for member in panel.members.values()]
        if stage.kind == "single":
            parts, rest = told[0]
            return parts.astype(np.float32), rest.astype(np.float32)
        lines = self._lines(len(panel.members), 1)
        panel.ask(asked, lines)
        order = np.argsort(items, kind="stable")
        pairs = np.zeros(items.size, dtype=np.int64), items[order]
        found = panel.candidates(lines, asked, self.parameters.candidates, pairs)
        back = np.argsort(order, kind="stable")
        if stage.ranker is not None:
            features = columns(found, self._known_facts(), self._habits(asked))[back]
            parts, rest = shared_out(stage, stage.ranker.contributions(features), told, items, seen)
        else:
            parts, rest = blended(stage, found, back, told)
        return parts.astype(np.float32), rest.astype(np.float32)

    # --- the artifact ----------------------------------------------------------------------------

    def _arrays(self) -> Arrays:
        arrays: Arrays = {}
        for name, member in self.panel_.members.items():
            arrays |= {f"{name}.{key}": value for key, value in member._arrays().items()}
            own = member.history_
            if own is not self.history_:
                arrays |= {
                    f"{name}.own_indptr": own.indptr.astype(np.int64),
                    f"{name}.own_indices": own.indices.astype(np.int32),
                    f"{name}.own_data": own.data.astype(np.float32),
                }
        for task, stage in self.stages_.items():
            if stage.ranker is not None:
                arrays[f"{task}.trees"] = stage.ranker.text
        if self.facts_ is not None:
            arrays |= {f"facts.{key}": value for key, value in self.facts_.arrays().items()}
        if self.newcomers_ is not None:
            arrays |= {f"newcomers.{key}": value for key, value in self.newcomers_._arrays().items()}
        document = {
            "members": list(self.panel_.members),
            "stages": {
                task: {
                    "kind": stage.kind,
                    "members": stage.members,
                    "weights": stage.weights,
                    "names": None if stage.ranker is None else stage.ranker.names,
                }
                for task, stage in self.stages_.items()
            },
            "reasons": self.reasons_,
            "figures": self.figures_,
        }
        arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
        return arrays

    def _restore(self, arrays: Arrays) -> None:
        document = json.loads(arrays["document"].tobytes())
        creators = self._creators()
        self.panel_ = Panel(
            {name: self._member(creators[name](), name, arrays) for name in document["members"]}
        )
        self.stages_ = {}
        for task in TASKS:
            kept = document["stages"][task]
            ranker = None
            if kept["kind"] == "ranker":
                ranker = SecondStage(np.asarray(arrays[f"{task}.trees"]), tuple(kept["names"]))
            self.stages_[task] = Stage(kept["kind"], tuple(kept["members"]), tuple(kept["weights"]), ranker)
        self.reasons_, self.figures_ = document["reasons"], document["figures"]
        facts = _under("facts.", arrays)
        self.facts_ = Facts.restore(facts) if facts else None
        self.newcomers_ = None
        if _under("newcomers.", arrays):
            model = self._member(unfitted(self.parameters.members.values()), "newcomers", arrays)
            assert isinstance(model, ContentBased)
            self.newcomers_ = model

    def _member(self, model: Recommender, name: str, arrays: Arrays) -> Recommender:
        own = _under(f"{name}.", arrays)
        model.users_, model.items_, model.history_ = self.users_, self.items_, self.history_
        if "own_indptr" in own:
            parts = (own.pop("own_data"), own.pop("own_indices"), own.pop("own_indptr"))
            model.history_ = sparse.csr_matrix(parts, shape=self.history_.shape)
        model.moment_, model.dataset_fingerprint_ = self.moment_, self.dataset_fingerprint_
        model.calibration_ = None
        model._restore(own)
        return model


_NO_FACTS = Facts(
    0.0,
    0,
    Habits(np.zeros(1, np.int64), np.empty(0, np.int64), *[np.empty(0, np.float32)] * 5),
    np.empty((0, 9), np.float32),
    np.empty((3, 0), np.int64),
)


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
