"""A fit that will not fit is refused before it starts, and the forecasts bound what fits take."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from models.algorithms.content_based.cold_items import ColdItems
from models.algorithms.factorization.bpr import BPR, BPRParameters
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.factorization.graph_filter import GraphFilter
from models.algorithms.linear.ease import EASE, EASEParameters
from models.algorithms.neighbourhood.bought_together import BoughtTogether
from models.algorithms.neighbourhood.co_visitation import CoVisitation
from models.algorithms.neighbourhood.normalised_knn import NormalisedKNN
from models.algorithms.neighbourhood.rp3beta import RP3Beta
from models.algorithms.popularity.trending import Trending
from models.algorithms.repeat.buy_again import BuyAgain
from models.algorithms.repeat.tifu_knn import TIFUKNN
from models.base import Recommender
from models.shared import memory_budget
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes

MODELS = [
    NormalisedKNN(),
    RP3Beta(),
    EASE(EASEParameters(full_below=0, dual_below=0)),
    EASE(EASEParameters(dual_below=0)),
    EASE(),
    DegreeSVD(DegreeSVDParameters(factors=64)),
    GraphFilter(),
    BPR(BPRParameters(iterations=1)),
    Trending(),
    CoVisitation(),
    BuyAgain(),
    TIFUKNN(),
    BoughtTogether(),
    ColdItems(),
]


def test_what_does_not_fit_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "free_bytes", lambda: 1024)
    with pytest.raises(Invalid, match=r"ease.*GiB.*free"):
        EASE().fit(two_tastes())


def test_free_memory_is_a_sane_number() -> None:
    assert 2**20 < memory_budget.free_bytes() < 2**50


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_forecast_is_an_upper_bound_of_what_a_fit_takes(model: Recommender) -> None:
    rng = np.random.default_rng(0)
    drawn = zip(rng.integers(0, 400, 6000), rng.zipf(1.3, 6000) % 500, strict=True)
    rows = [(int(user), int(item), "purchase", float(age)) for age, (user, item) in enumerate(drawn)]
    data = dataset(rows, users=400, items=500)
    forecast = model.forecast(400, 500, data.matrix.nnz)
    data.fingerprint  # noqa: B018 - the dataset's own work is not the fit's
    model.fit(two_tastes())  # nor is what a first fit imports, whichever test runs first
    tracemalloc.start()
    try:
        model.fit(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # a megabyte for what does not grow with the data
    assert peak < forecast + 2**20
