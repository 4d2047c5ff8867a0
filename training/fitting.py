"""One experiment: fitted and judged on the split, then fitted again on everything to be registered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import factory
from models.base import Recommender
from models.calibration import Calibration
from models.shared.fitted_members import FittedMembers
from recsys.errors import Invalid
from training.evaluation.evaluate import Evaluation, ViewResult, evaluate
from training.evaluation.examples import ExampleUser, ModelLists, recommend_examples
from training.evaluation.guests import judge_guests
from training.evaluation.report.parts import Hybrid as HybridPart
from training.evaluation.segments import Segment
from training.evaluation.splits import Split
from training.experiment import Experiment
from training.guardrails import GateFigures, figures_for_gate
from training.insides import hybrid_part
from training.steps import Steps

__all__ = ["Judged", "calibrate", "create", "judge", "refit"]


@dataclass(frozen=True, eq=False)
class Judged:
    """What one experiment showed on the split. `parameters` are all hyper-parameters, defaults included."""

    experiment: Experiment
    kind: str
    parameters: dict[str, Any]
    evaluation: Evaluation
    calibration: Calibration
    lists: ModelLists
    fit_seconds: float
    evaluate_seconds: float
    peak_mib: float
    successor: Recommender
    """Unfitted, to be fitted on everything: it keeps what the judged model decided about its own make-up."""
    hybrid: HybridPart | None = None
    guests: Segment | None = None

    def primary(self) -> npt.NDArray[np.float64]:
        """The metric that promotion looks at, per user, float64 (n,)."""
        rule, plan = self.experiment.promotion, self.experiment.evaluation
        values: npt.NDArray[np.float64] = self.evaluation.views[rule.view].values[rule.metric][
            :, plan.ks.index(plan.primary_k)
        ]
        return values

    def gate(self) -> GateFigures:
        """The figures that the guardrails of promotion look at."""
        return figures_for_gate(
            self.evaluation, self.experiment.promotion, self.experiment.evaluation.primary_k
        )


def create(experiment: Experiment) -> Recommender:
    """The unfitted model. Raises Invalid, naming the experiment, for an unknown algorithm or parameter."""
    try:
        model = factory.create(experiment.algorithm, experiment.parameters)
    except Invalid as error:
        raise Invalid(f"experiment {experiment.name}: {error.message}", **error.details) from error
    if "seed" in {field.name for field in fields(model.parameters)}:
        return type(model)(replace(model.parameters, seed=experiment.seed))
    return model


def judge(
    experiment: Experiment,
    split: Split,
    examples: list[ExampleUser],
    steps: Steps,
    known: FittedMembers | None = None,
) -> Judged:
    """Fit on the split's past and rank the catalogue for every test user.

    known : models that were fitted on the split's past already; what is fitted here joins them.
    """
    known = known or FittedMembers(split.train)
    with steps.step(f"fit {experiment.name} before the cutoff") as fitting:
        model = known.fit(create(experiment), split.train)
    asked = sum(fold.users.size for fold in split.folds.values())
    with steps.step(f"judge {experiment.name}", total=asked) as judging:
        evaluation = evaluate(model, split, experiment.evaluation.ks, advance=judging.advance)
        judging.note = f"{asked:,} lists of {max(experiment.evaluation.ks)}"
        calibration = calibrate(evaluation)
        lists = recommend_examples(model, split, examples)
        # whoever asks for no examples compares figures and writes no report
        guests = _guests(model, split, experiment) if examples else None
    return Judged(
        experiment,
        model.kind.value,
        asdict(model.parameters),
        evaluation,
        calibration,
        lists,
        fitting.seconds,
        judging.seconds,
        max(fitting.peak_mib, judging.peak_mib),
        model.successor(),
        hybrid_part(model),
        guests,
    )


def _guests(model: Recommender, split: Split, experiment: Experiment) -> Segment | None:
    if split.guests is None or not len(split.guests):
        return None
    plan = experiment.evaluation
    return judge_guests(model, split, k=plan.primary_k, draws=plan.draws, seed=experiment.seed)


def refit(judged: Judged, known: FittedMembers, folder: Path) -> str:
    """Fit on the whole dataset (that of `known`), carry the calibration over, write the artifact.

    Returns its checksum.

    `fit` forgets calibration, and the final fit has no unseen data to learn it from: the map learned on the
    split's test lists is the honest one to keep.
    """
    model = known.fit(judged.successor, known.dataset)
    model.calibration_ = judged.calibration
    return model.save(folder)


def calibrate(evaluation: Evaluation) -> Calibration:
    """From scores to the share of recommended products that test users took up within the test period.

    Learns from every distinct (user, product) that either view recommended. Only users who came back in the
    test period are in it, so the chance reads "if the user comes back".
    """
    everything, fresh = evaluation.views["all"], evaluation.views["new"]
    scores, taken = _filled(everything, np.ones(everything.products.shape, dtype=bool))
    more_scores, more_taken = _filled(fresh, ~_also_in(fresh, everything))
    return Calibration.fit(np.concatenate([scores, more_scores]), np.concatenate([taken, more_taken]))


def _filled(
    result: ViewResult, wanted: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    keep = wanted & (result.products >= 0) & np.isfinite(result.scores)
    return result.scores[keep], result.hits[keep]


def _also_in(one: ViewResult, other: ViewResult) -> npt.NDArray[np.bool_]:
    """Which (user, product) places of `one` are also in `other`; its users are among the other's."""
    stride = int(max(one.products.max(initial=0), other.products.max(initial=0))) + 1
    listed = np.unique((other.users[:, None] * stride + other.products)[other.products >= 0])
    found: npt.NDArray[np.bool_] = np.isin(one.users[:, None] * stride + one.products, listed)
    return found
