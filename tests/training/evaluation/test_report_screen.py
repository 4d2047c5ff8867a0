"""The report in a real browser: its first screen says it all, and nothing is clipped or overlaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.evaluation.browser import CHROMIUM, NO_BROWSER, measure, nothing_is_clipped
from training.evaluation.report.document import Report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


def test_the_first_screen_says_it_all(report: Report, tmp_path: Path) -> None:
    seen = measure(report, tmp_path, 1280, 900)
    verdict = report.verdict
    assert verdict.winner in seen["title"]
    assert seen["scripts"] == 1, "markup in a product's name was run"
    texts = " ".join(tile["text"] for tile in seen["tiles"])
    for said in (f"{verdict.figure.value:.3f}", "over popularity-v1", "p = ", "memory at most", "artifact"):
        assert said in texts.replace("\xa0", " ")
    assert "Promoted" in seen["decided"]
    for left, top, right, bottom in [seen["h1"], seen["decision"], *(t["box"] for t in seen["tiles"])]:
        assert 0 <= left < right <= seen["width"]
        assert 0 <= top < bottom <= seen["height"], "it takes scrolling to see it"
    assert seen["plots"] == 11
    nothing_is_clipped(seen)


def test_a_narrow_window_shows_everything(report: Report, tmp_path: Path) -> None:
    seen = measure(report, tmp_path, 500, 900)
    assert seen["width"] <= 500
    nothing_is_clipped(seen)
