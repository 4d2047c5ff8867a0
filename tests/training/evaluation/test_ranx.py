"""The metrics equal those of an independent library, ranx, to nine places, for every user and cut-off."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from training.evaluation.metrics import METRICS, find_hits, per_user

KS = (1, 3, 5, 10)
USERS, ITEMS, LENGTH = 60, 40, 10

Figures = dict[str, npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def both() -> tuple[Figures, Figures]:
    """Our figures and theirs, metric → float64 (users, cut-offs), of random lists and random answers."""
    import numba

    rng = np.random.default_rng(3)
    columns = np.stack([rng.permutation(ITEMS)[:LENGTH] for _ in range(USERS)]).astype(np.int64)
    right = rng.random((USERS, ITEMS)) < rng.uniform(0.02, 0.6, USERS)[:, None]
    right[np.arange(USERS), rng.integers(0, ITEMS, USERS)] = True
    relevant = sparse.csr_matrix(right)
    compiled = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = True  # compiling it takes a minute, running it plain a moment
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what another library's modules warn of is not ours
            import ranx
        qrels = ranx.Qrels(
            {
                f"u{i:03}": {f"p{item}": 1 for item in np.flatnonzero(row).tolist()}
                for i, row in enumerate(right)
            }
        )
        run = ranx.Run(
            {
                f"u{i:03}": {f"p{item}": float(LENGTH - place) for place, item in enumerate(row)}
                for i, row in enumerate(columns.tolist())
            }
        )
        ranx.evaluate(qrels, run, [f"{name}@{k}" for name in METRICS for k in KS], threads=1)
    finally:
        numba.config.DISABLE_JIT = compiled
    theirs = {
        name: np.array([[run.scores[f"{name}@{k}"][f"u{i:03}"] for k in KS] for i in range(USERS)])
        for name in METRICS
    }
    sizes = np.diff(relevant.indptr).astype(np.int64)
    return per_user(find_hits(columns, relevant), sizes, KS), theirs


@pytest.mark.parametrize("name", sorted(METRICS))
def test_equal_to_ranx(both: tuple[Figures, Figures], name: str) -> None:
    mine, theirs = both
    assert theirs[name].any()
    assert np.abs(mine[name] - theirs[name]).max() < 1e-9
