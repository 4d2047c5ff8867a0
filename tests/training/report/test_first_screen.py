"""The report in a real browser: its first screen says it all, and nothing is clipped or overlaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.web.browser import CHROMIUM, NO_BROWSER, measure, nothing_is_clipped
from training.report.document import EvaluationReport

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)

PHONE = (390, 844)
TALLEST = 12_000
"""Pixels of the longest page on a phone: six models, all sections."""


@pytest.fixture(scope="module")
def six(report: EvaluationReport) -> EvaluationReport:
    """The report as six models would have it: the second one stands for all but the best."""
    best, second = report.models
    names = ["als", "ease", "content", "tifu_knn"]
    others = [
        second.model_copy(update={"name": f"{name}-v12", "algorithm": name, "experiment": name})
        for name in names
    ]
    comparisons = [
        one.model_copy(update={"b": name})
        for one in report.comparisons
        for name in [one.b, *(section.name for section in others)]
    ]
    return report.model_copy(update={"models": [best, second, *others], "comparisons": comparisons})


@pytest.mark.parametrize("width", [1280, 1440])
def test_the_first_screen_says_it_all(six: EvaluationReport, tmp_path: Path, width: int) -> None:
    seen = measure(six, tmp_path, width, 900)
    assert six.verdict.promoted is not None
    assert six.verdict.promoted in seen["title"]
    assert seen["scripts"] == 1, "markup in a product's name was run"
    any_product, new = (tile["text"].replace("\xa0", " ") for tile in seen["tiles"])
    assert any_product.startswith("Any product n ")
    assert new.startswith("New to the user n ")
    assert f"{six.verdict.figure.value:.3f}" in any_product
    assert "best: " in any_product
    assert "Promoted" in seen["decided"]
    for left, top, right, bottom in [seen["h1"], seen["decision"], *(t["box"] for t in seen["tiles"])]:
        assert 0 <= left < right <= seen["width"]
        assert 0 <= top < bottom <= seen["height"], "it takes scrolling to see it"
    nothing_is_clipped(seen)


def test_a_phone_shows_everything_and_not_too_long(six: EvaluationReport, tmp_path: Path) -> None:
    seen = measure(six, tmp_path, *PHONE)
    assert seen["width"] == PHONE[0]
    nothing_is_clipped(seen)
    assert seen["tall"] < TALLEST
    for tile in seen["tiles"]:
        assert tile["box"][1] < PHONE[1] - 60, "a question begins below the first screen"


def test_the_page_asks_no_host_for_anything(report: EvaluationReport, tmp_path: Path) -> None:
    seen = measure(report, tmp_path, 1280, 900)
    assert [url for url in seen["requests"] if not url.startswith("file:")] == []
    assert seen["requests"] == []
