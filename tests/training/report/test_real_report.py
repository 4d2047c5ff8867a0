"""A report on real purchases, kept for people to look at, its first screen checked in a browser."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import NotFound
from tests.support.web.browser import CHROMIUM, NO_BROWSER, measure, nothing_is_clipped
from training.evaluation.examples import choose_users
from training.experiment import Experiment, load
from training.fit.trainer import judge
from training.paper_benchmarks import complete_journey_data
from training.progress import Steps
from training.promotion.rule import decide
from training.report.builder import Version, build_report
from training.report.document import EvaluationReport
from training.report.page import write_report

ROOT = Path(__file__).parents[3]
KEPT = Path(os.environ.get("CI_ARTIFACTS") or ROOT / "var" / "artifacts") / "real-report"
FIRST_WEEK, ONE_OF = 33, 3
"""A slice of The Complete Journey that takes seconds: the weeks from there to 48, one household of three."""


def _slice(whole: Path, into: Path) -> Path:
    lines = pl.read_parquet(whole / "transactions.parquet")
    lines = lines.filter((pl.col("week") >= FIRST_WEEK) & (pl.col("household_id").cast(int) % ONE_OF == 0))
    products = pl.read_parquet(whole / "products.parquet")
    lines.write_parquet(into / "transactions.parquet")
    products.join(lines.select("product_id").unique(), on="product_id", how="semi").write_parquet(
        into / "products.parquet"
    )
    return into


def _experiment(name: str, days: float) -> Experiment:
    """The experiment that comes with recsys, with fewer resamples."""
    shipped = load(name)
    return shipped.model_copy(
        update={
            "evaluation": shipped.evaluation.model_copy(update={"draws": 300}),
            "split": shipped.split.model_copy(update={"test_days": days}),
        }
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> EvaluationReport:
    """Popularity and item-kNN on the slice; the page and its twin stay in `KEPT`."""
    try:
        whole = complete_journey_data.folder_of(None)
    except NotFound as absent:
        pytest.skip(f"no report on real data was written: {absent.message}")
    found = complete_journey_data.read(_slice(whole, tmp_path_factory.mktemp("slice")))
    split, examples = found.split, choose_users(found.split)
    days = round((found.dataset.moment - split.cutoff) / 86_400e6, 1)
    experiments = [_experiment(name, days) for name in ("popularity", "item_knn")]
    judged = {f"{one.name}-v1": judge(one, split, examples, Steps()) for one in experiments}
    plan = experiments[0].evaluation
    report = build_report(
        run="real-report",
        dataset=found.dataset,
        split=split,
        versions=[Version(name, 1, one, "0" * 64, one.fit_seconds, 0.0) for name, one in judged.items()],
        decision=decide(
            {name: one.primary() for name, one in judged.items()},
            None,
            experiments[0].promotion,
            figures={name: one.gate() for name, one in judged.items()},
            k=plan.primary_k,
            draws=plan.draws,
            seed=0,
        ),
        champion=None,
        examples=examples,
        command="make report",
    )
    write_report(report, KEPT)
    return report


def test_it_says_what_is_known_of_this_data(real: EvaluationReport) -> None:
    assert (KEPT / "report.html").is_file()
    assert EvaluationReport.model_validate_json((KEPT / "report.json").read_text()) == real
    assert real.data.users > 500
    assert real.data.test_users["kept"] > 400
    assert real.verdict.winner == "item_knn-v1"  # as on the whole data
    assert real.verdict.over_popularity is not None
    assert real.verdict.over_popularity.significant
    assert [rail.name for rail in real.verdict.guardrails if not rail.ok] == []
    assert any(
        place.hit for lists in real.models[0].examples.values() for one in lists for place in one.places
    )


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_its_first_screen_is_whole_in_a_browser(real: EvaluationReport, tmp_path: Path) -> None:
    seen = measure(real, tmp_path, 1280, 900)
    assert "item_knn-v1 now serves" in seen["title"]
    for left, top, right, bottom in [seen["h1"], seen["decision"], *(t["box"] for t in seen["tiles"])]:
        assert 0 <= left < right <= seen["width"]
        assert 0 <= top < bottom <= seen["height"], "it takes scrolling to see it"
    nothing_is_clipped(seen)
    nothing_is_clipped(measure(real, tmp_path, 390, 844))
