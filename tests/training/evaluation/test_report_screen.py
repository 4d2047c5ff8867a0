"""The report in a real browser: its first screen says it all, and nothing is clipped or overlaps."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.report.document import Report
from training.evaluation.report.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no chromium, chromium-browser or google-chrome here: the report was not looked at in a browser",
)

MEASURE = """
<script>
const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
const outside = [...document.querySelectorAll("svg.plot")].flatMap(svg => {
  const [left, top, right, bottom] = box(svg);
  return [...svg.querySelectorAll("text")].filter(text => {
    const [l, t, r, b] = box(text);
    return l < left - 1 || t < top - 1 || r > right + 1 || b > bottom + 1;
  }).map(text => text.textContent);
});
const kinds = "h1,h2,h3,h4,p,li,dt,dd,td,th,figcaption,.tile,.decision,.list";
const clipped = [...document.querySelectorAll(kinds)]
  .filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
    && !e.closest("thead"))
  .map(e => e.textContent.trim().slice(0, 80));
const found = {
  width: innerWidth, height: innerHeight, page: document.documentElement.scrollWidth,
  title: document.querySelector("h1").textContent, h1: box(document.querySelector("h1")),
  tiles: [...document.querySelectorAll(".tile")].map(e => ({box: box(e), text: e.innerText})),
  decision: box(document.querySelector(".decision")),
  decided: document.querySelector(".decision").innerText,
  plots: document.querySelectorAll("svg.plot").length, outside, clipped,
  scripts: document.scripts.length,
};
const pre = document.createElement("pre");
pre.id = "measured";
pre.textContent = JSON.stringify(found);
document.body.append(pre);
</script>
"""


def _measure(report: Report, folder: Path, width: int, height: int) -> dict[str, Any]:
    page = folder / "report.html"
    write_page(report, page)
    page.write_text(
        page.read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8"
    )
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    answer = subprocess.run(
        [CHROMIUM, *options, f"--window-size={width},{height}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    match = re.search(r'<pre id="measured">(.*?)</pre>', answer.stdout, flags=re.DOTALL)
    assert match is not None, answer.stderr[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found


def test_the_first_screen_says_it_all(report: Report, tmp_path: Path) -> None:
    seen = _measure(report, tmp_path, 1280, 900)
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
    _nothing_is_clipped(seen)


def test_a_narrow_window_shows_everything(report: Report, tmp_path: Path) -> None:
    seen = _measure(report, tmp_path, 500, 900)
    assert seen["width"] <= 500
    _nothing_is_clipped(seen)


def _nothing_is_clipped(seen: dict[str, Any]) -> None:
    assert seen["page"] <= seen["width"], "the page is wider than the window"
    assert seen["outside"] == [], "labels leave their figures"
    assert seen["clipped"] == []
    boxes = [tile["box"] for tile in seen["tiles"]]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]
            assert apart, "tiles overlap"
