"""What trainings of tests share: an empty MLflow store, made once, and reports whose figures are blank."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module", autouse=True)
def blank_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw nothing: figures take .8 s of a processor a report, and only tests in `report/` read them."""
    if "report" in request.path.parts:
        yield
        return
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    def blank(_: object, file: Any, **__: object) -> None:
        file.write("<svg></svg>")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasSVG, "print_svg", blank)
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        yield
