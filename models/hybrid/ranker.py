"""The second stage of a hybrid: boosted trees that put candidates in order, learned by LambdaRank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from models.hybrid.tree_scores import CompiledTrees

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["SecondStage"]

Float = npt.NDArray[np.float32]

LEAVES, MANY = 8, 10_000
"""Few right pairs teach small trees: with 31 leaves the trees learned single products and won nothing."""
THREADS = 1
"""Of a training, whatever the machine: the sums of more are split otherwise, and their threads spin while
they wait for each other, which on a machine with other work made 100 trees take minutes, not seconds."""


@dataclass(frozen=True, eq=False)
class SecondStage:
    """score(pair) = sum of the leaves that the pair falls into.

    LambdaRank (Burges 2010, "From RankNet to LambdaRank to LambdaMART", section 7) in LightGBM (Ke et al.
    2017, NeurIPS): each swap of two of a user's candidates weighs as much as it would change NDCG.

    Attributes
    ----------
    text : uint8
        The trees as LightGBM writes them.
    names
        Of the feature columns.
    """

    text: npt.NDArray[np.uint8]
    names: tuple[str, ...]

    @classmethod
    def learn(
        cls,
        features: Float,
        relevant: npt.NDArray[np.bool_],
        owner: npt.NDArray[np.int64],
        names: tuple[str, ...],
        *,
        trees: int,
        seed: int,
        k: int = 20,
    ) -> Self:
        """Learn trees from the candidates of users.

        Parameters
        ----------
        features : float32, shape (c, f)
            NaN where unknown.
        relevant : bool, shape (c,)
            Whether the candidate was right.
        owner : int64, shape (c,), rising
            The user of each candidate.
        names
            Of the feature columns.
        trees
            How many.
        k
            Swaps that concern the first 2 × k places of a list count.
        """
        import lightgbm

        parameters: dict[str, Any] = {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 2 * k,
            "learning_rate": 0.05,
            "num_leaves": LEAVES if np.count_nonzero(relevant) < MANY else 2 * LEAVES - 1,
            "min_data_in_leaf": int(np.clip(relevant.size // 400, 5, 500)),
            "feature_fraction": 0.6,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "max_bin": 127,
            "num_threads": THREADS,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        group = np.bincount(owner)
        data = lightgbm.Dataset(
            features,
            relevant.astype(np.int32),
            group=group[group > 0],
            params=parameters,
        )
        booster = lightgbm.train(parameters, data, num_boost_round=trees)
        return cls(np.frombuffer(booster.model_to_string().encode(), dtype=np.uint8), names)

    @cached_property
    def _trees(self) -> CompiledTrees:
        return CompiledTrees.of(self.text.tobytes().decode())

    @cached_property
    def _booster(self) -> Booster:
        import lightgbm

        return lightgbm.Booster(model_str=self.text.tobytes().decode())

    def score(self, features: Float) -> npt.NDArray[np.float64]:
        """float64 (c,) of features (c, f)."""
        if not features.shape[0]:
            return np.empty(0)
        return self._trees.score(features)

    def contributions(self, features: Float) -> npt.NDArray[np.float64]:
        """What each feature adds to the score, and last what every pair has.

        The SHAP values of trees (Lundberg, Erion & Lee 2018, arXiv 1802.03888): each row adds up to its
        score.

        Returns
        -------
        float64, shape (c, f + 1)
        """
        if not features.shape[0]:
            return np.empty((0, len(self.names) + 1))
        contributions = self._booster.predict(features, pred_contrib=True, num_threads=1)
        return np.asarray(contributions, dtype=np.float64)
