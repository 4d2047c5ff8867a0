"""MLflow's pyfunc flavor of any of our models, for batch use: our own artifact, never pickled."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.registry.artifact import read_header
from recsys.errors import Invalid

if TYPE_CHECKING:
    import pandas as pd

    from models.base import Recommender

__all__ = ["BatchModel", "save_pyfunc"]

DEFAULT_K = 10


class BatchModel:
    """What `mlflow.pyfunc.load_model(uri)` wraps."""

    def __init__(self, model: Recommender) -> None:
        self._model = model

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Lists of users, best first.

        Parameters
        ----------
        frame
            Users in column `user_id`, whole numbers; optional column `k`, the same in all rows; 10 without
            it.

        Returns
        -------
        DataFrame
            One row per recommendation: user_id, rank (from 1), product_id (int64), score (float32), users in
            the order asked.

        Raises
        ------
        Invalid
            For a frame without usable `user_id` or `k`.
        """
        import pandas as pd

        if "user_id" not in frame or not pd.api.types.is_integer_dtype(frame["user_id"]):
            raise Invalid(
                "expected a column 'user_id' of whole numbers, found the columns "
                f"{', '.join(f'{name} ({kind})' for name, kind in frame.dtypes.items()) or 'none'}"
            )
        users = frame["user_id"].to_numpy(dtype=np.int64)
        ranking = self._model.recommend(users, _k(frame))
        row, column = np.nonzero(ranking.products >= 0)
        return pd.DataFrame(
            {
                "user_id": ranking.queries[row],
                "rank": column + 1,
                "product_id": ranking.products[row, column],
                "score": ranking.scores[row, column],
            }
        )


def save_pyfunc(folder: Path, target: Path) -> None:
    """Write the artifact in `folder` as an MLflow model to `target` (must not exist)."""
    read_header(folder)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        # MLflow's own use of older SQLAlchemy and pydantic is not ours to mend
        warnings.simplefilter("ignore")
        from mlflow import pyfunc

        pyfunc.save_model(
            path=str(target), loader_module=__name__, data_path=str(folder), pip_requirements=[]
        )


def _load_pyfunc(path: str) -> BatchModel:
    """What MLflow calls, by this name."""
    from models import factory

    return BatchModel(factory.load(Path(path)))


def _k(frame: pd.DataFrame) -> int:
    if "k" not in frame or frame.empty:
        return DEFAULT_K
    values = frame["k"].unique()
    if len(values) != 1 or not float(values[0]).is_integer() or values[0] < 1:
        raise Invalid("expected one whole number of at least 1 in all rows of column 'k'")
    return int(values[0])
