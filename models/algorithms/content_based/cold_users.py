"""Lists for those who said what they like and did nothing yet: models of behaviour know nothing of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, Preferences
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.ranking.filters import Asked, positive

__all__ = ["anything_said", "greeted", "newcomers", "unfitted"]


def unfitted(members: Iterable[dict[str, Any]]) -> ContentBased:
    """The content-based model of the first of `members` that is one, else with its own settings."""
    for member in members:
        if member["algorithm"] == ContentBased.algorithm:
            return ContentBased(ContentBasedParameters(**member.get("parameters", {})))
    return ContentBased()


def newcomers(dataset: Dataset, members: Iterable[dict[str, Any]]) -> ContentBased | None:
    """A fitted model of what users said; None where nobody said anything."""
    return unfitted(members).fit(dataset) if anything_said(dataset.preferences) else None


def anything_said(preferences: Preferences) -> bool:
    """Whether any user said anything."""
    traits = (preferences.colours, preferences.sizes, preferences.styles)
    entries = preferences.categories.nnz + preferences.brands.nnz + sum(each.matrix.nnz for each in traits)
    return bool(entries or np.isfinite(preferences.price).any())


def greeted(model: ContentBased | None, asked: Asked) -> npt.NDArray[np.int64]:
    """The rows of `asked` that are newcomers: nothing liked in the history, but a word of what is liked."""
    if model is None:
        return np.empty(0, dtype=np.int64)
    silent = np.diff(positive(asked.history).indptr) == 0
    return np.flatnonzero(silent & model.taste_.told(asked.rows))
