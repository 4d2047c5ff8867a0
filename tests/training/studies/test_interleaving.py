"""The study of interleaved lists on a small shop: the better model is found, with fewer visitors."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from scipy.stats import binomtest

from recsys.errors import Invalid
from recsys.simulation.parameters import ShopParameters
from recsys.simulation.shop import simulate
from recsys.simulation.truth import ShopTruth
from training.studies.interleaving import StudyTerms, study

TERMS = StudyTerms(
    control_noise=1.5, challenger_noise=0.5, places=6, click_rate=0.3, per_day=250, days=40, runs=60
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> ShopTruth:
    """A shop of 200 users."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    until = datetime(2026, 1, 1, tzinfo=UTC)
    parameters = ShopParameters(
        users=200, products=120, interactions=2_000, until=until, days=100, seed=3, taste=6.0, zipf=1.0,
        repeat=0.5,
    )  # fmt: skip
    simulate(parameters, folder, form="parquet", database=False, progress=lambda *_: None)
    return ShopTruth.load(folder)


def test_the_better_model_is_found_with_several_times_fewer_visitors(truth: ShopTruth) -> None:
    steps: list[str] = []
    figures = study(truth, TERMS, progress=steps.append)
    assert steps[1:] == [each.name for each in figures.designs]
    assert figures.challenger_clicks > figures.control_clicks
    arms, optimised, team_draft = figures.designs
    for each in (optimised, team_draft):
        assert (each.decided, each.wrong) == (1.0, 0.0)
        assert binomtest(each.false_alarms, each.runs, 0.05, alternative="greater").pvalue > 0.001
        assert each.false_alarms_bound > each.false_alarms / each.runs
        assert each.visitors is not None
        assert arms.visitors is None or each.visitors < arms.visitors / 1.5
    assert study(truth, TERMS, progress=steps.append) == figures


def test_the_worse_challenger_is_found_to_be_worse(truth: ShopTruth) -> None:
    turned = StudyTerms(
        control_noise=0.5, challenger_noise=1.5, places=6, click_rate=0.3, per_day=250, days=20, runs=20
    )
    _, optimised, _ = study(truth, turned, progress=lambda _: None).designs
    assert (optimised.decided, optimised.wrong) == (1.0, 0.0)


def test_terms_that_cannot_be_are_refused(truth: ShopTruth, tmp_path: Path) -> None:
    for wrong in (
        {"places": 0},
        {"click_rate": 0.0},
        {"click_rate": 1.1},
        {"runs": 0},
        {"control_noise": -1.0},
    ):
        with pytest.raises(Invalid):
            StudyTerms(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="120 products"):
        study(truth, StudyTerms(places=61), progress=lambda _: None)
