"""One experiment: fitted and judged on the split, then fitted again on everything to be registered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import factory
from models.algorithms.shared.factor_model import FactorModel
from models.base import Recommender
from models.ranking.calibration import BuyingChances
from models.shared.fitted_members import FittedMembers
from recsys.errors import Invalid
from training.evaluation.evaluator import Evaluation, evaluate
from training.evaluation.examples import ExampleUser, ModelLists, recommend_examples
from training.evaluation.guests import judge_guests
from training.evaluation.segments import Segment
from training.evaluation.splits import Split, View
from training.experiment import Experiment
from training.fit.calibration import Outcomes, buying_chances, calibrate, outcomes
from training.fit.forecast import TimeForecast
from training.progress import Steps
from training.promotion.guardrails import GateFigures, figures_for_gate
from training.report.hybrid_section import hybrid_part
from training.report.sections import HybridSection as HybridPart

__all__ = ["Judged", "create", "judge", "refit"]


@dataclass(frozen=True, eq=False)
class Judged:
    """What one experiment showed on the split.

    Attributes
    ----------
    kind
        `recommendation_models.type`.
    parameters
        All hyper-parameters, defaults included.
    outcomes
        What users took up of their lists, by view.
    lists
        Those of the example users.
    fit_seconds, evaluate_seconds
        Seconds to fit before the cutoff, and to judge.
    peak_mib
        The most resident memory of the process meanwhile, in MiB.
    guests
        None where the split has no guests, or no example users were given.
    chosen_parameters
        The values of those hyper-parameters that leave a choice to the data.
    """

    experiment: Experiment
    kind: str
    parameters: dict[str, Any]
    evaluation: Evaluation
    outcomes: dict[View, Outcomes]
    lists: ModelLists
    fit_seconds: float
    evaluate_seconds: float
    peak_mib: float
    successor: Recommender
    """Unfitted, to be fitted on everything: it keeps what the judged model decided about its own make-up."""
    hybrid: HybridPart | None = None
    guests: Segment | None = None
    chances: BuyingChances | None = None
    chosen_parameters: dict[str, float] = field(default_factory=dict)

    def primary(self) -> npt.NDArray[np.float64]:
        """The metric that promotion looks at, per user, float64 (n,)."""
        rule, plan = self.experiment.promotion, self.experiment.evaluation
        values: npt.NDArray[np.float64] = self.evaluation.views[rule.view].values[rule.metric][
            :, plan.ks.index(plan.primary_k)
        ]
        return values

    def secondary(self) -> npt.NDArray[np.float64]:
        """The same metric of the other question, per user, float64 (m,)."""
        rule, plan = self.experiment.promotion, self.experiment.evaluation
        result = self.evaluation.views["new" if rule.view == "all" else "all"]
        values: npt.NDArray[np.float64] = result.values[rule.metric][:, plan.ks.index(plan.primary_k)]
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
    forecast: TimeForecast | None = None,
) -> Judged:
    """Fit on the split's past and rank the catalogue for every test user.

    Parameters
    ----------
    examples
        Users whose lists are kept as examples; without any, guests are not judged.
    known
        Models that were fitted on the split's past already; what is fitted here joins them.
    forecast
        Of this experiment, for the steps to show.
    """
    known = known or FittedMembers(split.train)
    with steps.step(
        f"fit {experiment.name} before the cutoff", forecast=None if forecast is None else forecast.fit
    ) as fitting:
        model = known.fit(create(experiment), split.train)
    asked = sum(fold.users.size for fold in split.folds.values())
    with steps.step(
        f"judge {experiment.name}", total=asked, forecast=None if forecast is None else forecast.judge
    ) as judging:
        evaluation = evaluate(model, split, experiment.evaluation.ks, advance=judging.advance)
        judging.note = f"{asked:,} lists of {max(experiment.evaluation.ks)}"
        chances = buying_chances(model, split, experiment.seed)
        taken_up = outcomes(model, evaluation, split, experiment.seed)
        lists = recommend_examples(model, split, examples)
        # a caller that asks for no examples compares figures and writes no report
        guests = _guests(model, split, experiment) if examples else None
    return Judged(
        experiment,
        model.kind.value,
        asdict(model.parameters),
        evaluation,
        taken_up,
        lists,
        fitting.seconds,
        judging.seconds,
        max(fitting.peak_mib, judging.peak_mib),
        model.successor(),
        hybrid_part(model),
        guests,
        chances,
        model.chosen_parameters if isinstance(model, FactorModel) else {},
    )


def _guests(model: Recommender, split: Split, experiment: Experiment) -> Segment | None:
    if split.guests is None or not len(split.guests):
        return None
    plan = experiment.evaluation
    return judge_guests(model, split, k=plan.primary_k, draws=plan.draws, seed=experiment.seed)


def refit(judged: Judged, known: FittedMembers, folder: Path) -> str:
    """Fit on the whole dataset, calibrate, and write the artifact.

    The final fit has no unseen data to learn a calibration from: the maps of the split's test lists, one for
    each question, are the honest ones to keep.

    Parameters
    ----------
    known
        Of the whole dataset.
    folder
        Where the artifact is written.

    Returns
    -------
    str
        The artifact's checksum.
    """
    model = known.fit(judged.successor, known.dataset)
    model.calibration_ = calibrate(judged.outcomes["all"])
    model.calibration_new_ = calibrate(judged.outcomes["new"])
    model.chances_ = judged.chances
    return model.save(folder)
