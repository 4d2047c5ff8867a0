"""A report in a real browser: what its boxes measure, and whether anything is clipped or overlaps."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from training.report.document import EvaluationReport
from training.report.page import write_page

__all__ = ["CHROMIUM", "NO_BROWSER", "measure", "nothing_is_clipped"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no chromium, chromium-browser or google-chrome here: the report was not looked at in a browser"

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
    && !e.closest("thead") && !e.closest("details:not([open])"))
  .map(e => e.textContent.trim().slice(0, 80));
const found = {
  width: innerWidth, height: innerHeight, page: document.documentElement.scrollWidth,
  title: document.querySelector("h1").textContent, h1: box(document.querySelector("h1")),
  tall: document.documentElement.scrollHeight,
  requests: performance.getEntriesByType("resource").map(e => e.name),
  tiles: [...document.querySelectorAll(".tile")].map(e => ({box: box(e), text: e.innerText})),
  decision: box(document.querySelector(".decision")),
  decided: document.querySelector(".decision").innerText,
  plots: document.querySelectorAll("svg.plot").length, outside, clipped,
  scripts: document.scripts.length,
};
parent.postMessage(JSON.stringify(found), "*");
</script>
"""
FRAME = """<!doctype html><body style="margin:0"><script>
addEventListener("message", sent => {
  const pre = document.createElement("pre");
  pre.id = "measured";
  pre.textContent = sent.data;
  document.body.append(pre);
});
</script><iframe src="report.html" style="border:0;width:%dpx;height:%dpx"></iframe>
"""
"""A window cannot be narrower than 500 pixels, a frame can be as narrow as a phone."""


def measure(report: EvaluationReport, folder: Path, width: int, height: int) -> dict[str, Any]:
    """Where everything stands in a window of this size; the page is written to `folder`."""
    page = folder / "report.html"
    write_page(report, page)
    page.write_text(
        page.read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8"
    )
    assert CHROMIUM is not None
    frame = folder / "frame.html"
    frame.write_text(FRAME % (width, height), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options += [f"--window-size={max(width, 500)},{height}", "--virtual-time-budget=5000"]
    answer = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    match = re.search(r'<pre id="measured">(.*?)</pre>', answer.stdout, flags=re.DOTALL)
    assert match is not None, answer.stderr[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found


def nothing_is_clipped(seen: dict[str, Any]) -> None:
    """Assert that no text leaves its box, no tile another, and the page not the window."""
    assert seen["page"] <= seen["width"], "the page is wider than the window"
    assert seen["outside"] == [], "labels leave their figures"
    assert seen["clipped"] == []
    boxes = [tile["box"] for tile in seen["tiles"]]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]
            assert apart, "tiles overlap"
