"""Lists for users with explicit preferences and no history, whom models of behaviour cannot rank for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, Preferences
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.ranking.filters import RankRequest, positive

__all__ = ["any_explicit", "greeted", "newcomers", "unfitted"]


def unfitted(members: Iterable[dict[str, Any]]) -> ContentBased:
    """The content-based model of the first of `members` that is one, else with its own settings."""
    for member in members:
        if member["algorithm"] == ContentBased.algorithm:
            return ContentBased(ContentBasedParameters(**member.get("parameters", {})))
    return ContentBased()


def newcomers(dataset: Dataset, members: Iterable[dict[str, Any]]) -> ContentBased | None:
    """A fitted model of explicit preferences; None where no user has any."""
    return unfitted(members).fit(dataset) if any_explicit(dataset.preferences) else None


def any_explicit(preferences: Preferences) -> bool:
    """Whether any user has an explicit preference."""
    traits = (preferences.colours, preferences.sizes, preferences.styles)
    entries = preferences.categories.nnz + preferences.brands.nnz + sum(each.matrix.nnz for each in traits)
    return bool(entries or np.isfinite(preferences.price).any())


def greeted(model: ContentBased | None, request: RankRequest) -> npt.NDArray[np.int64]:
    """The rows of `request` that are newcomers: an empty history, but explicit preferences."""
    if model is None:
        return np.empty(0, dtype=np.int64)
    silent = np.diff(positive(request.history).indptr) == 0
    return np.flatnonzero(silent & model.taste_.has_explicit(request.rows))
