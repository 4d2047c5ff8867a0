"""The report: a self-contained page and a JSON twin that say the same, whatever names products bear."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.training.shops import HOSTILE, dataset_of, purchases
from training.evaluation.examples import choose_users
from training.evaluation.segments import parts_of
from training.evaluation.significance import format_p
from training.evaluation.splits import time_split
from training.experiment import Experiment
from training.fit.trainer import judge
from training.progress import Steps
from training.report.document import EvaluationReport
from training.report.model_section import Version, model_section
from training.report.page import render, write_report
from training.report.plots.drawing import ALGORITHMS, style_of
from training.report.plots.model_plots import calibration_plots
from training.report.plots.segment_plots import forest_plot
from training.report.reliability import bins_of
from training.report.sections import Guardrail, Measure, SegmentSection


class _Loads(HTMLParser):
    """Collects what a browser would fetch, the ids, and the tags that were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in {"src", "href", "data", "srcset", "action", "poster"}:
                (self.references if str(value).startswith("#") else self.loads).append(str(value))


def test_the_page_loads_nothing(report: EvaluationReport) -> None:
    page = render(report)
    parsed = _Loads()
    parsed.feed(page)
    assert parsed.loads == []
    assert not parsed.tags & {"script", "link", "iframe", "img", "object", "base"}
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert "http://" not in page.replace(HOSTILE, "").replace("http://evil.example", "")


def test_ids_are_unique_and_references_lead_somewhere(report: EvaluationReport) -> None:
    parsed = _Loads()
    page = render(report)
    parsed.feed(page)
    assert len(parsed.ids) == len(set(parsed.ids)) > 0
    assert {reference[1:] for reference in parsed.references} <= set(parsed.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(parsed.ids)


def test_hostile_names_are_text(report: EvaluationReport) -> None:
    page = render(report)
    assert HOSTILE not in page
    assert "&lt;script src=" in page
    assert "Tom &amp; Jerry&#39;s" in page


def test_figures_take_the_colours_of_the_page(report: EvaluationReport) -> None:
    page = render(report)
    figures = re.findall(r'<svg class="plot".*?</svg>', page, flags=re.DOTALL)
    assert len(figures) == 14
    for figure in figures:
        assert "currentColor" in figure
        assert "<text" in figure  # text stays text: it can be found, read aloud and scaled
        assert not set(re.findall(r"#[0-9a-f]{6}\b", figure)), "a colour of its own does not follow dark mode"
        assert "var(--series-" in figure


def _first_screen(report: EvaluationReport) -> str:
    text = html.unescape(
        re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", render(report), flags=re.DOTALL))
    )
    return " ".join(text[: text.index("Means over users")].replace("\xa0", " ").split())


def test_the_first_screen_tells_verdict_target_and_both_questions(report: EvaluationReport) -> None:
    first, verdict = _first_screen(report), report.verdict
    assert verdict.winner == "item_knn-v1"
    assert "item_knn-v1 now serves" in first
    assert f"A success: {report.data.target_reason}" in first
    assert report.data.target_reason.startswith("Purchases are the target")
    for view, question in (("all", "Any product"), ("new", "New to the user")):
        one = next(one for one in report.comparisons if one.view == view)
        figure = report.model(one.a).views[one.view].metrics[verdict.metric][report.ks.index(verdict.k)]
        assert f"{question} n {report.model(one.a).views[one.view].users}" in first
        assert f"{figure.value:.3f} NDCG@5" in first
        assert f"−{one.difference:.4f}, {format_p(one.p_value, one.p_floor)}" in first
        assert f"difference in NDCG@5 from {one.a}, 95% interval" in first


def test_the_target_of_the_dataset_is_in_words(report: EvaluationReport) -> None:
    for change, words in (
        (
            {"target": ["purchase"], "target_reason": "purchases count, for there are enough."},
            "Purchases count, for",
        ),
        ({"target": ["add_to_cart", "view"], "target_reason": ""}, "add to cart, view after the cutoff"),
        ({"problem": "nobody came back"}, "No test was possible"),
    ):
        data = report.data.model_copy(update=change)
        assert words in _first_screen(report.model_copy(update={"data": data}))


def test_older_interactions_that_were_left_out_are_counted(report: EvaluationReport) -> None:
    assert "older, left out" not in render(report)
    data = report.data.model_copy(update={"older_events": 30_712_175})
    page = render(report.model_copy(update={"data": data}))
    assert re.search(r"older, left out</dt><dd>30\D712\D175, more than memory", page)


def test_the_contents_lead_to_every_section(report: EvaluationReport) -> None:
    page = render(report)
    contents = re.findall(r'<li><a href="#([^"]+)">', page)
    assert contents == re.findall(r'<section[^>]* id="([^"]+)"', page)
    assert {"models", "calibration", "tests", "terms"} <= set(contents)


def test_a_p_value_of_a_pair_stands_once_and_in_one_way(report: EvaluationReport) -> None:
    assert len({(one.view, frozenset((one.a, one.b))) for one in report.comparisons}) == len(
        report.comparisons
    )
    text = html.unescape(re.sub(r"<[^>]+>", " ", render(report)))
    written = set(re.findall(r"\bp [=<≤] ?[^\s,;)]+", text)) - {f"p < {report.verdict.significance:g}."}
    assert written == {format_p(one.p_value, one.p_floor) for one in report.comparisons}


def test_a_colour_belongs_to_an_algorithm(report: EvaluationReport) -> None:
    best, second = report.models
    twin = second.model_copy(update={"name": "popularity_recent-v1"})
    for models in ([best, second], [second, best], [second], [best, second, twin]):
        changed = report.model_copy(update={"models": models})
        assert style_of(changed, second.name) == style_of(report, second.name)
    several = report.model_copy(update={"models": [best, second, twin]})
    assert style_of(several, twin.name).colour == style_of(several, second.name).colour
    assert style_of(several, twin.name).mark != style_of(several, second.name).mark
    looks = [
        style_of(
            report.model_copy(update={"models": [best.model_copy(update={"algorithm": name})]}), best.name
        )
        for name in ALGORITHMS
    ]
    assert len(set(looks)) == len(ALGORITHMS)


def test_a_parameter_that_the_data_chose_has_its_value(report: EvaluationReport) -> None:
    section = report.models[0].model_copy(
        update={"parameters": {"alpha": 0.0, "iterations": 5}, "chosen_parameters": {"alpha": 0.123456}}
    )
    text = render(report.model_copy(update={"models": [section, *report.models[1:]]}))
    assert "alpha 0.1235 (chosen from the data), iterations 5" in text


def test_what_the_judged_fit_chose_is_in_the_document() -> None:
    data = dataset_of([(user, product, day, "purchase") for user, product, day in purchases()])
    split = time_split(data, 12)
    judged = judge(Experiment(name="als", algorithm="als"), split, choose_users(split), Steps())
    parts = {view: parts_of([(split, fold)]) for view, fold in split.folds.items()}
    section = model_section(Version("als-v1", 1, judged, "c" * 64, 0.1, 0.2), split, parts, seed=0)
    assert section.chosen_parameters["factors"] == 256
    assert section.chosen_parameters.keys() == {"factors", "alpha", "regularization"}


def test_every_model_and_question_has_its_calibration_on_the_same_axes(report: EvaluationReport) -> None:
    page = render(report)
    for view in ("all", "new"):
        drawn = calibration_plots(report, view)
        assert list(drawn) == [section.name for section in report.models]
        ticks = {tuple(re.findall(r">(\d\.\d+)</text>", svg)) for svg in drawn.values()}
        assert len(ticks) == 1
        for section in report.models:
            part = section.views[view].reliability
            assert part is not None
            assert f"error {part.ece:.4f}" in page


def test_the_json_twin_round_trips_and_has_a_schema(report: EvaluationReport, tmp_path: Path) -> None:
    page, document = write_report(report, tmp_path / "reports")
    assert page.read_text(encoding="utf-8") == render(report)
    assert EvaluationReport.model_validate_json(document.read_text(encoding="utf-8")) == report
    plain = json.loads(document.read_text(encoding="utf-8"))
    assert plain["format"] == 3
    assert not list((tmp_path / "reports").glob("*.part"))
    schema = EvaluationReport.model_json_schema()
    assert schema["$defs"]["ModelComparison"]["properties"]["p_value"]["description"].startswith("Sign-flip")


def test_figures_of_the_document(report: EvaluationReport) -> None:
    for section in report.models:
        for view in section.views.values():
            for figures in view.metrics.values():
                assert all(figure.low <= figure.value <= figure.high for figure in figures)
                assert [figure.k for figure in figures] == report.ks
    ranked = [section.views["all"].metrics["ndcg"][1].value for section in report.models]
    assert ranked == sorted(ranked, reverse=True)
    new = next(one for one in report.comparisons if one.view == "new")
    assert new.difference >= 0
    assert report.data.test_events["total"] + report.data.train_events == report.data.events


def test_examples_are_chosen_by_the_past_and_explained(report: EvaluationReport) -> None:
    assert len(report.examples) >= 3
    for example in report.examples:
        assert example.why
        for section in report.models:
            lists = {one.view: one for one in section.examples[example.user]}
            assert set(lists) == {"all", "new"}
            assert len(lists["all"].places) == 10
            assert sum(place.hit for place in lists["all"].places) <= example.right["all"]
            assert all(place.reason != "bought before" for place in lists["new"].places)
    reasons = {p.reason for p in report.model("item_knn-v1").examples[report.examples[0].user][0].places}
    assert any(reason.startswith(("because of", "bought before")) for reason in reasons)


def test_one_model_alone_needs_no_comparison(report: EvaluationReport) -> None:
    verdict = report.verdict.model_copy(update={"over_next": None, "over_popularity": None})
    alone = report.model_copy(update={"models": report.models[:1], "comparisons": [], "verdict": verdict})
    assert "no difference to test" in render(alone)


def test_reliability_counts_every_bin_and_adds_up() -> None:
    predicted = np.repeat([0.1, 0.5], 50)
    taken = np.r_[np.arange(50) < 5, np.arange(50) < 40]
    found = bins_of(predicted, taken, bins=2)
    assert [(one.count, one.predicted, one.observed) for one in found] == [
        (50, pytest.approx(0.1), pytest.approx(0.1)),
        (50, pytest.approx(0.5), pytest.approx(0.8)),
    ]


def test_the_report_holds_reliability_segments_and_exposure(report: EvaluationReport) -> None:
    for section in report.models:
        for view in section.views.values():
            assert view.reliability is not None
            assert 0 <= view.reliability.ece <= 1
            assert view.segments
            assert view.exposure is not None
            assert "gini" in view.beyond


def test_guests_are_a_row_of_the_products_that_are_new(report: EvaluationReport) -> None:
    figure = Measure(k=5, value=0.25, low=0.2, high=0.3, users=40)
    guests = SegmentSection(
        kind="guests", name="guests", users=40, small=False, note="", figures={"ndcg": figure}
    )
    first = report.models[0].model_copy(update={"guests": guests})
    changed = report.model_copy(update={"models": [first, *report.models[1:]]})
    assert ">guests<" in forest_plot(changed, "new", "ndcg", "NDCG")
    assert ">guests<" not in forest_plot(changed, "all", "ndcg", "NDCG")
    assert "no session of a guest" in render(report)
    assert "no session of a guest" not in render(changed)


def test_names_of_categories_are_plain_text_in_a_figure(report: EvaluationReport) -> None:
    view = report.models[0].views["all"]
    strange = view.segments[0].model_copy(update={"kind": "category", "name": "$5 & <b>$9</b>\n雪"})
    odd = view.model_copy(update={"segments": [strange]})
    first = report.models[0].model_copy(update={"views": {**report.models[0].views, "all": odd}})
    drawn = forest_plot(report.model_copy(update={"models": [first]}), "all", "ndcg", "NDCG")
    assert "$5 &amp; &lt;b&gt;$9&lt;/b&gt; 雪" in drawn


def test_the_model_beside_the_winner_is_the_former_champion_or_the_next(report: EvaluationReport) -> None:
    third = report.models[1].model_copy(update={"name": "als-v7", "experiment": "als"})
    models = [*report.models, third]
    for champion, beside in (("als-v2", "als-v7"), ("content-v1", "popularity-v1"), (None, "popularity-v1")):
        verdict = report.verdict.model_copy(update={"champion": champion})
        page = render(report.model_copy(update={"models": models, "verdict": verdict}))
        assert f"item_knn-v1 beside {beside}," in page


def test_exposure_is_reported_up_to_the_single_most_shown_product(report: EvaluationReport) -> None:
    exposure = report.models[0].views["all"].exposure
    assert exposure is not None
    assert exposure.catalogue[-2:] == [pytest.approx(1 - 1 / report.data.train_items), 1]
    assert (exposure.catalogue[0], exposure.places[0], exposure.places[-1]) == (0, 0, 1)
    assert exposure.catalogue == sorted(exposure.catalogue)
    assert exposure.places == sorted(exposure.places)
    assert all(y <= x + 1e-9 for x, y in zip(exposure.catalogue, exposure.places, strict=True))


def test_a_document_of_format_1_is_still_read_and_drawn(report: EvaluationReport) -> None:
    plain = report.model_dump(mode="json")
    plain["format"] = 1
    for section in plain["models"]:
        for part in ("reliability", "hybrid", "guests"):
            del section[part]
        for view in section["views"].values():
            for part in ("beyond", "unknown", "segments", "exposure", "reliability"):
                del view[part]
    del plain["verdict"]["guardrails"], plain["reproduction"]["platform"]
    for part in ("cut", "refused", "drift"):
        del plain["data"][part]
    old = EvaluationReport.model_validate(plain)
    page = render(old)
    assert old.verdict.winner in page
    assert "For whom, and for which products" not in page
    assert "Do scores mean" not in page


def test_guardrails_that_can_bind_stand_beside_the_decision(report: EvaluationReport) -> None:
    rails = [
        Guardrail(name="popularity_share", value=0.91, limit=0.8, ok=False),
        Guardrail(name="coverage", value=0.2, limit=0.1, ok=True, model="als-v9", at_least=True),
        Guardrail(name="scoring_ms", value=812.0, limit=60000.0, ok=True, at_least=False),
        Guardrail(name="empty_rate", value=0.0, limit=1.0, ok=True, at_least=False),
        Guardrail(name="coverage", value=0.3, limit=0.0, ok=True, at_least=True),
    ]
    verdict = report.verdict.model_copy(
        update={"guardrails": rails, "action": "hold", "champion": "als-v1", "promoted": None}
    )
    first = _first_screen(report.model_copy(update={"verdict": verdict}))
    assert "Guardrail popularity share: 0.91 (limit 0.8), broken" in first
    assert "Guardrail coverage of als-v9: 0.2 (at least 0.1), kept" in first
    assert "Guardrail scoring time, ms per 1000 users: 812 (at most 60000), kept" in first
    assert first.count("Guardrail ") == 3
    assert first.index("broken") < first.index("The rule and its guardrails") < first.index("als-v9")
    assert "als-v1 keeps serving; item_knn-v1 ranks best" in first
