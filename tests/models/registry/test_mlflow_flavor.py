"""The batch flavor: any of our models by MLflow's own loader, with the answers of the model itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import factory
from models.algorithms.popularity.popularity import Popularity
from models.registry.mlflow_flavor import BatchModel, save_pyfunc
from recsys.errors import Invalid
from tests.models.data import two_tastes


@pytest.mark.parametrize("frame", [{"user": [1]}, {"user_id": ["a"]}, {"user_id": [1, 2], "k": [3, 4]}])
def test_an_unusable_frame_is_refused(frame: dict[str, list[object]]) -> None:
    with pytest.raises(Invalid, match="expected"):
        BatchModel(Popularity()).predict(pd.DataFrame(frame))


@pytest.mark.parametrize("algorithm", ["popularity", "item_knn", "als", "ease", "tifu_knn", "content"])
def test_mlflow_loads_it_and_answers_like_the_model(tmp_path: Path, algorithm: str) -> None:
    data = two_tastes()
    model = factory.create(algorithm, {}).fit(data)
    model.save(tmp_path / "artifact")
    save_pyfunc(tmp_path / "artifact", tmp_path / "flavor")
    with warnings.catch_warnings():
        # MLflow's own use of older SQLAlchemy and pydantic is not ours to mend
        warnings.simplefilter("ignore")
        from mlflow import pyfunc

        loaded = pyfunc.load_model(str(tmp_path / "flavor"))
    users = data.users.ids[[3, 0, 5]]
    answer: pd.DataFrame = loaded.predict(pd.DataFrame({"user_id": users, "k": 4}))
    expected = model.recommend(users, 4)
    for place, user in enumerate(users):
        rows: Any = answer[answer["user_id"] == user]
        products, scores = expected.row(place)
        assert rows["product_id"].tolist() == products.tolist()
        assert rows["rank"].tolist() == list(range(1, len(products) + 1))
        np.testing.assert_allclose(rows["score"].to_numpy(), scores, rtol=1e-5)
    assert answer["user_id"].drop_duplicates().tolist() == users.tolist()
    pickled = [
        path for path in (tmp_path / "flavor").rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")
    ]
    assert pickled == []
