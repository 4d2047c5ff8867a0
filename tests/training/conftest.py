"""The local MLflow store of a shop, made once for all shops of a pytest process."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from tests.support.shop import Shop


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with MLflow's tables and nothing in them: its migrations take 3 s of processor time."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        # MLflow uses what SQLAlchemy and pydantic call deprecated
        warnings.simplefilter("ignore")
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture(autouse=True)
def migrated_store(request: pytest.FixtureRequest) -> None:
    """Each shop begins with the empty store; a test that needs none deletes it."""
    if "shop" not in request.fixturenames:
        return
    shop: Shop = request.getfixturevalue("shop")
    database = shop.var.resolve() / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(request.getfixturevalue("empty_store"), database)
