"""Models that were fitted on one dataset, by recipe: what several callers need is fitted once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from features.dataset import Dataset

if TYPE_CHECKING:
    from models.base import Recommender

__all__ = ["FittedMembers"]


class FittedMembers:
    """Fits a recipe (algorithm and parameters, the seed among them) on `dataset` at most once.

    Equal recipes on equal data give equal models, so a model that is compared by itself and as a member of a
    hybrid need not be fitted twice. Models of other datasets are fitted as usual and not kept.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._models: dict[str, Recommender] = {}

    def fit(self, model: Recommender, dataset: Dataset) -> Recommender:
        """`model` fitted on `dataset`, or the model that was fitted earlier. Raises what `fit` raises."""
        if dataset is not self.dataset:
            return model.fit(dataset)
        recipe = f"{model.algorithm} {asdict(model.parameters)!r}"
        if recipe not in self._models:
            model.share(self)
            self._models[recipe] = model.fit(dataset)
        return self._models[recipe]
