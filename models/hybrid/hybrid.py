"""Hybrid: candidates of several models, put in order by the rule that a paired test leaves standing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import History
from features.splitting.holdout import Question
from models import base, factory
from models.algorithms.content_based.cold_users import greeted, newcomers, unfitted
from models.algorithms.content_based.content import ContentBased
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.hybrid.backtest import LIKENESS, BacktestPlan, backtest, suited, without_backtest
from models.hybrid.candidate_generation import Panel, most_taken
from models.hybrid.evidence import strongest_evidence
from models.hybrid.explanations import blended, member_opinions, member_parts, shared_out
from models.hybrid.last_successes import outgrown, users_with_last
from models.hybrid.parameters import HybridParameters
from models.hybrid.ranker import SecondStage
from models.hybrid.ranking_features import FeatureSnapshot, Habits
from models.hybrid.strategy_selection import Stage, columns
from models.hybrid.training_windows import QUESTIONS, fitted
from models.ranking.filters import RankRequest, Selection, positive
from models.ranking.top_k import top_k
from models.results import MemberOpinion, Ranking
from models.shared.fitted_members import FittedMembers
from models.shared.score_blocks import ScoreBlock
from recsys.errors import Invalid
from recsys.observation.spans import span

__all__ = ["Hybrid", "HybridParameters"]


class Hybrid(Recommender):
    """Candidates of several members, ordered by one rule per question.

    The questions are any product, and products new to the user.

    A backtest on the last windows of the data: members fitted to what was known before a window name
    candidates, and the successes of the window (`dataset.target`) say which were right. A blend (weights of
    scaled scores) and a second stage (LambdaRank over the members' opinions and `ranking_features`) are
    learned and must each beat the simpler rule by a paired test on users they were not learned from
    (`strategy_selection`). Then the members that the chosen rules need are fitted on everything. The cascade
    is that of Covington, Adams & Sargin 2016, "Deep neural networks for YouTube recommendations", section 2;
    scaled scores beat rank fusion in `models.hybrid.blend`.

    `successor` keeps the rules: what is fitted again on more data is the model that was judged.

    Scores of the two questions are not comparable. Asked to leave out what was seen, the rule for new
    products orders and explains the list; everything else is the rule for any product. Products that the
    catalogue did not show at the time of the fit are never listed. Who did nothing yet, but stated what they
    like, gets the list of a content-based model instead (`models.algorithms.content_based.cold_users`).
    """

    algorithm: ClassVar[str] = "hybrid"
    kind: ClassVar[ModelKind] = ModelKind.HYBRID
    Parameters = HybridParameters
    parameters: HybridParameters

    panel_: Panel
    stages_: dict[Question, Stage]
    window_days_: float
    """Length of the windows that the rules were learned on: what the second stage calls lately."""
    facts_: FeatureSnapshot | None
    """What the second stage knows of users and products; None where no question has one."""
    reasons_: dict[str, str]
    """Per question why its rule was chosen, and per member that is left out why."""
    newcomers_: ContentBased | None
    """Answers those who stated what they like and did nothing; None where there is no such statement."""
    category_: npt.NDArray[np.int32]
    """int32 (items,): code of each item's category, -1 for none; for evidence."""
    figures_: dict[str, dict[str, float]]
    """Per question the mean NDCG of each member and rule on the judged users."""

    def __init__(self, parameters: HybridParameters | None = None) -> None:
        super().__init__(parameters)
        self._known: FittedMembers | None = None
        self._keeps_rules, self._teachers = False, 0
        for create in self._creators().values():
            create()  # a wrong member is refused before anything long begins

    @property
    def reason_(self) -> str:
        """Which rule each question has, and why, in one line."""
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

    def share(self, known: FittedMembers) -> None:
        """Take members from `known` in the next fit, where it is of the same dataset."""
        self._known = known

    def successor(self) -> Self:
        """An unfitted hybrid whose fit keeps the rules of this one and fits only the members they need.

        On data that has outgrown them (`models.hybrid.last_successes.outgrown`) it learns them again.
        """
        heir = type(self)(self.parameters)
        heir.stages_, heir.window_days_ = self.stages_, self.window_days_
        heir.reasons_, heir.figures_ = self.reasons_, self.figures_
        heir._keeps_rules, heir._teachers = True, self._teachers
        return heir

    def _fit(self, dataset: Dataset) -> None:
        creators = self._creators()
        known, self._known = self._known, None
        before, self._teachers = self._teachers, users_with_last(dataset)
        again = self._keeps_rules and outgrown(self._teachers, before, self.parameters.sufficient_users)
        panel = None
        if again or not self._keeps_rules:
            panel = self._learn_rules(creators, dataset, known)
        if again:
            why = f"learned on everything, where {self._teachers:,} users can teach it and not {before:,}: "
            self.reasons_ |= {question: why + self.reasons_[question] for question in self.stages_}
        if panel is None:
            wanted = {name for stage in self.stages_.values() for name in stage.members}
            needed = {name: create for name, create in creators.items() if name in wanted}
            panel, late = fitted(needed, dataset, known)
            if late:
                raise Invalid(
                    "the hybrid chose members that cannot be fitted on all data: "
                    + "; ".join(f"{name}: {why}" for name, why in late.items())
                )
        hidden = ~np.asarray(dataset.item_features.active)
        pool = most_taken(dataset, self.parameters.pool)
        self.panel_ = Panel(panel.members, hidden if hidden.any() else None, self._pool_of_rules(pool))
        self.facts_ = None
        if any(stage.ranker is not None for stage in self.stages_.values()):
            self.facts_ = FeatureSnapshot.learn(dataset, self.window_days_)
        self.category_ = np.asarray(dataset.item_features.category, dtype=np.int32)
        self.newcomers_ = newcomers(dataset, self.parameters.members.values())

    def _learn_rules(
        self, creators: Mapping[str, Callable[[], Recommender]], dataset: Dataset, known: FittedMembers | None
    ) -> Panel | None:
        """Set the rules; the members, where choosing them took fitting them on everything."""
        chosen = self.parameters
        plan = BacktestPlan(
            chosen.validation_days,
            chosen.windows,
            chosen.candidates,
            chosen.pool,
            chosen.users,
            chosen.sufficient_users,
            chosen.k,
            chosen.trees,
            chosen.seed,
        )
        creators, unsuited = suited(creators, dataset)
        found = backtest(creators, dataset, plan)
        choices, refused, panel = found.choices, found.refused, None
        self.window_days_ = found.days
        if not choices:
            choices, panel, refused = without_backtest(creators, dataset, known)
        self.stages_ = {question: choice.stage for question, choice in choices.items()}
        self.figures_ = {question: dict(choice.figures) for question, choice in choices.items()}
        self.reasons_ = {question: choice.reason for question, choice in choices.items()}
        self.reasons_ |= {name: f"left out: {why}" for name, why in (unsuited | refused).items()}
        return panel

    def _pool_of_rules(self, pool: Rows | None) -> Rows | None:
        """`pool`, unless a rule is a single member: its lists are the member's own."""
        return None if any(stage.kind == "single" for stage in self.stages_.values()) else pool

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes beyond the members, which each forecast their own: one block, candidates, features."""
        chosen = self.parameters
        members = len(chosen.members)
        pairs = 2 * min(users, chosen.users) * min(items, members * chosen.candidates)
        return 200 * nnz + 3 * base.BLOCK_BYTES + pairs * (4 * (3 * members + 8) * 2 + 4 * 60)

    # --- answers ---------------------------------------------------------------------------------

    def _block(self, n: int, k: int) -> int:
        names = dict.fromkeys(name for stage in self.stages_.values() for name in stage.members)
        return max(1, base.BLOCK_BYTES // (4 * max(1, self.panel_.of(list(names)).width(len(self.items_)))))

    def _rank(self, request: RankRequest, k: int) -> tuple[Rows, Scores]:
        stage = self.stages_["new" if request.shown.seen else "any"]
        columns_, scores = self._greet(
            request, *self._listed(request, k, self._opinions_of(request, [stage])), k
        )
        return self._ids_of(columns_), scores

    def _rank_both(
        self, request: RankRequest, new: Selection, k: int, k_new: int
    ) -> tuple[tuple[Rows, Scores], tuple[Rows, Scores]]:
        fresh = replace(request, shown=new)
        blocks, habits = self._opinions_of(request, list(self.stages_.values())), self._habits(request)
        # in this order: to choose what is new hides what was seen from the same scores
        found = []
        for each, length in ((request, k), (fresh, k_new)):
            columns_, scores = self._greet(each, *self._listed(each, length, blocks, habits), length)
            found.append((self._ids_of(columns_), scores))
        return found[0], found[1]

    def _opinions_of(self, request: RankRequest, stages: Sequence[Stage]) -> dict[str, ScoreBlock]:
        """The scores of every member that one of the rules needs, each computed once."""
        names = tuple(dict.fromkeys(name for stage in stages for name in stage.members))
        with span("candidate generation"):
            return dict(zip(names, self.panel_.of(names).opinions(request), strict=True))

    def _listed(
        self,
        request: RankRequest,
        k: int,
        opinions: Mapping[str, ScoreBlock],
        habits: Habits | None = None,
    ) -> tuple[Rows, Scores]:
        """The k best item rows of each user by the rule of the question; -1 and -inf in empty places."""
        stage = self.stages_["new" if request.shown.seen else "any"]
        panel = self.panel_.of(stage.members)
        blocks = [opinions[name] for name in stage.members]
        if stage.kind == "single":
            closed = panel.filtered(request.shown, len(self.items_))
            return blocks[0].best(k, closed, request.history if request.shown.seen else None)
        with span("candidate generation"):
            candidates = panel.candidates(blocks, request, self.parameters.candidates)
        with span("ranker"):
            scores = stage.score(candidates, self._known_facts(), habits or self._habits(request))
        padded = candidates.padded(scores, -np.inf)
        places, values = top_k(padded, k)
        items = candidates.padded(candidates.item, -1)
        rows = np.take_along_axis(items, np.maximum(places, 0), axis=1)
        return np.where(places >= 0, rows, -1), values

    def _greet(self, request: RankRequest, columns_: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
        """The lists of those who did nothing yet, but stated what they like, in the place of theirs."""
        new = greeted(self.newcomers_, request)
        if self.newcomers_ is not None and new.size:
            history = request.history[new]
            line = np.empty((new.size, len(self.items_)), dtype=np.float32)
            self.newcomers_._score(positive(history), request.rows[new], line)
            if self.panel_.inactive is not None:
                line[:, self.panel_.inactive] = -np.inf
            columns_[new], scores[new] = request.shown.best(line, k, history)
        return columns_, scores

    def _answer(self, request: RankRequest, out: Scores) -> None:
        out.fill(-np.inf)
        items = len(self.items_)
        size = self._block(request.rows.size, 1)
        for start in range(0, request.rows.size, size):
            part = slice(start, start + size)
            histories = None if request.histories is None else request.histories[part]
            block = RankRequest(request.history[part], request.rows[part], request.shown, histories)
            stage = self.stages_["new" if request.shown.seen else "any"]
            columns_, scores = self._listed(block, items, self._opinions_of(block, [stage]))
            row, place = np.nonzero(columns_ >= 0)
            out[part][row, columns_[row, place]] = scores[row, place]

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        self._answer(RankRequest(history, rows, Selection.all()), out)

    def _known_facts(self) -> FeatureSnapshot:
        return _NO_FACTS if self.facts_ is None else self.facts_

    def _habits(self, request: RankRequest) -> Habits:
        facts = self._known_facts()
        if self.facts_ is None:
            return facts.habits
        if request.histories is None and (request.rows >= 0).all():
            return facts.habits.take(request.rows)
        return facts.habits_of(request.histories or self.panel_.untimed(request.history), self.items_)

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
        return self._reasons(RankRequest(history, np.array([row], dtype=np.int64), Selection.all()), items)

    def _reasons(
        self, request: RankRequest, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Of the rule of the question; a member's part is shared out as the member itself explains it.

        A blend's score is a sum of the members' scores, so its parts are theirs. Trees add up by SHAP values:
        what they owe to a member's opinion goes to the history in the member's own proportions, what they
        owe to this very product's past goes to that product, and the rest is the baseline.
        """
        if self.newcomers_ is not None and greeted(self.newcomers_, request).size:
            return self.newcomers_._reasons(request, items)
        stage = self.stages_["new" if request.shown.seen else "any"]
        panel = self.panel_.of(stage.members)
        seen = request.history.indices[request.history.data > 0]
        reasons = [member_parts(member, request, items, seen) for member in panel.members.values()]
        if stage.kind == "single":
            parts, rest = reasons[0]
            return parts.astype(np.float32), rest.astype(np.float32)
        blocks = panel.opinions(request)
        order = np.argsort(items, kind="stable")
        pairs = np.zeros(items.size, dtype=np.int64), items[order]
        found = panel.candidates(blocks, request, self.parameters.candidates, pairs)
        back = np.argsort(order, kind="stable")
        if stage.ranker is not None:
            features = columns(found, self._known_facts(), self._habits(request))[back]
            parts, rest = shared_out(stage, stage.ranker.contributions(features), reasons, items, seen)
        else:
            parts, rest = blended(stage, found, back, reasons)
        return parts.astype(np.float32), rest.astype(np.float32)

    def _opinions_on(self, request: RankRequest, item: int) -> tuple[MemberOpinion, ...]:
        stage = self.stages_["new" if request.shown.seen else "any"]
        panel = self.panel_.of(stage.members)
        blocks = panel.opinions(request)
        # a rule of one member lists everything that it scores; the others list the candidates
        length = len(self.items_) if stage.kind == "single" else self.parameters.candidates
        return member_opinions(panel, blocks, request, item, length)

    def evidence(self, ranking: Ranking, histories: Sequence[History] | None = None) -> npt.NDArray[np.int64]:
        """See `Recommender.evidence`; by `models.hybrid.evidence`, which costs a fraction of the reasons."""
        return strongest_evidence(self, ranking, histories)

    # --- the artifact ----------------------------------------------------------------------------

    def _arrays(self) -> Arrays:
        arrays: Arrays = {"category": self.category_}
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
        if self.panel_.inactive is not None:
            arrays["inactive"] = np.packbits(self.panel_.inactive)
        if self.panel_.pool is not None:
            arrays["pool"] = self.panel_.pool
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
            "window_days": self.window_days_,
            "reasons": self.reasons_,
            "figures": self.figures_,
        }
        arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
        return arrays

    def _restore(self, arrays: Arrays) -> None:
        document = json.loads(arrays["document"].tobytes())
        creators = self._creators()
        inactive = None
        if "inactive" in arrays:
            inactive = np.unpackbits(arrays["inactive"], count=len(self.items_)).astype(bool)
        members = {name: self._member(creators[name](), name, arrays) for name in document["members"]}
        self.panel_ = Panel(members, inactive, arrays.get("pool"))
        self.window_days_, self.category_ = float(document["window_days"]), arrays["category"]
        self.stages_ = {}
        for question in QUESTIONS:
            kept = document["stages"][question]
            ranker = None
            if kept["kind"] == "ranker":
                ranker = SecondStage(np.asarray(arrays[f"{question}.trees"]), tuple(kept["names"]))
            self.stages_[question] = Stage(
                kept["kind"], tuple(kept["members"]), tuple(kept["weights"]), ranker
            )
        self.reasons_, self.figures_ = document["reasons"], document["figures"]
        facts = _under("facts.", arrays)
        self.facts_ = FeatureSnapshot.restore(facts) if facts else None
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


_NO_FACTS = FeatureSnapshot(
    0.0,
    0,
    Habits(np.zeros(1, np.int64), np.empty(0, np.int64), *[np.empty(0, np.float32)] * 5),
    np.empty((0, 9), np.float32),
    np.empty((3, 0), np.int64),
)


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
