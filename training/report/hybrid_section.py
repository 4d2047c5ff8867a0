"""What a model is made of, for the report: the members, weights and rules of a hybrid."""

from __future__ import annotations

from models.base import Recommender
from models.hybrid.hybrid import Hybrid
from models.hybrid.training_windows import QUESTIONS
from training.report import sections

__all__ = ["hybrid_part"]


def hybrid_part(model: Recommender) -> sections.HybridSection | None:
    """The rule of each task and why it was chosen; None for what is no hybrid."""
    if not isinstance(model, Hybrid):
        return None
    rules = []
    for task in QUESTIONS:
        stage = model.stages_[task]
        weights = stage.weights or (None,) * len(stage.members)
        rules.append(
            sections.HybridRule(
                task=task,
                rule=stage.kind,
                members=[
                    sections.HybridMember(
                        name=name,
                        algorithm=model.parameters.members[name]["algorithm"],
                        weight=None if weight is None or stage.kind != "blend" else float(weight),
                    )
                    for name, weight in zip(stage.members, weights, strict=True)
                ],
                reason=model.reasons_.get(task, ""),
                rehearsal=model.figures_.get(task, {}),
            )
        )
    left_out = {what: why for what, why in model.reasons_.items() if what not in QUESTIONS}
    return sections.HybridSection(rules=rules, left_out=left_out)
