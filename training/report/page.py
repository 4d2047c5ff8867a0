"""The report as one self-contained HTML page, with its JSON twin beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation.significance import format_p
from training.evaluation.summary import HIGHER_IS_BETTER
from training.evaluation.summary import LABELS as WORDS
from training.report.document import EvaluationReport, ModelSection, ViewName
from training.report.plots.drawing import SYMBOLS, style_of
from training.report.plots.history_plot import history_plot
from training.report.plots.model_plots import calibration_plots, coverage_plot, curve_plot, difference_plot
from training.report.plots.search_plot import ORDERS, PARTS, search_plot
from training.report.plots.segment_plots import exposure_plot, forest_metric, forest_plot
from training.report.sections import Guardrail, PairedComparison

__all__ = ["render", "write_page", "write_report"]

LABELS = {
    "ndcg": "NDCG",
    "precision": "Precision",
    "recall": "Recall",
    "hit_rate": "Hit rate",
    "map": "MAP",
    "mrr": "MRR",
}
QUESTIONS: dict[ViewName, str] = {"all": "Any product", "new": "New to the user"}
DROPPED = {
    "guest": "by guests",
    "no_positive_evidence": "no success by the target",
    "product_hidden": "product can't be shown",
    "not_the_next": "after the next success, which alone is asked for",
    "user_not_drawn": "user who was not drawn to be judged",
    "user_without_history": "user without an event before",
    "product_unknown_at_cutoff": "product did not exist at the cutoff",
    "user_unknown_at_cutoff": "user unknown at the cutoff",
    "user_with_too_few_events": "user with too few events before the cutoff",
}
SHARES = {"popularity_share", "empty_rate"}
GUARDRAIL_NAMES = {"scoring_ms": "scoring time, ms per 1000 users"}


@cache
def _environment() -> Environment:
    """The templates, compiled once in a process."""
    environment = Environment(
        loader=PackageLoader("training.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def render(report: EvaluationReport) -> str:
    """The whole page as text: styles, figures and lists inside, nothing loaded from anywhere."""
    verdict = report.verdict
    label = LABELS[verdict.metric]
    views: tuple[ViewName, ...] = ("all", "new")
    drawings: dict[str, Callable[[EvaluationReport, ViewName, str, str], str]] = {
        "difference": difference_plot,
        "curve": curve_plot,
        "coverage": coverage_plot,
        "exposure": exposure_plot,
    }
    plots = {
        name: {view: Markup(draw(report, view, verdict.metric, label)) for view in views}
        for name, draw in drawings.items()
    }
    forest = LABELS[forest_metric(verdict.metric)]
    plots["forest"] = {view: Markup(forest_plot(report, view, verdict.metric, forest)) for view in views}
    winner, history = report.models[0], history_plot(report, label)
    shared = {
        view: [n for n in WORDS if any(n in m.views[view].beyond for m in report.models)] for view in views
    }
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            verdict=verdict,
            winner=winner,
            place=report.ks.index(verdict.k),
            label=label,
            labels=LABELS,
            views=views,
            view_titles=QUESTIONS,
            guardrail_names=GUARDRAIL_NAMES,
            dropped=DROPPED,
            plots=plots,
            history=Markup(history),
            calibration={
                view: {name: Markup(svg) for name, svg in calibration_plots(report, view).items()}
                for view in views
            },
            style={section.name: style_of(report, section.name) for section in report.models},
            best={view: _best(report, view) for view in views},
            contents=_contents(report, bool(history)),
            binding=[rail for rail in verdict.guardrails if _can_bind(rail)],
            symbols=SYMBOLS,
            next=verdict.over_next,
            other=_beside(report),
            segmented=any(view.segments for section in report.models for view in section.views.values()),
            guests=any(section.guests for section in report.models),
            forest_label=forest,
            beyond_names=shared,
            beyond_labels=WORDS,
            higher=HIGHER_IS_BETTER,
            orders=ORDERS,
            parts=PARTS,
            search_plots={section.model: Markup(search_plot(section)) for section in report.search},
        )
    )


def _contents(report: EvaluationReport, history: bool) -> list[tuple[str, str]]:
    """Anchor and title of each section that this report has, in the page's order."""
    views = [view for section in report.models for view in section.views.values()]
    hybrids = [section.name for section in report.models if section.hybrid is not None]
    there = {
        "segments": any(view.segments for view in views),
        "beyond": any(view.segments for view in views),
        "history": history,
        "calibration": any(view.reliability for view in views),
        "tests": bool(report.comparisons),
        "examples": bool(report.examples),
    }
    titles = {
        "models": "Every model",
        "figures": "Figures",
        "segments": "Segments",
        "beyond": "Beyond accuracy",
        **{f"made-of-{name}": f"Inside {name}" for name in hybrids},
        "history": "History",
        "calibration": "Calibration",
        "tests": "Tests",
        "search": "Search",
        "examples": "Examples",
        "data": "Data",
        "cost": "Cost",
        "reproduce": "Reproduce",
        "terms": "Terms",
    }
    return [(anchor, title) for anchor, title in titles.items() if there.get(anchor, True)]


def _best(report: EvaluationReport, view: ViewName) -> ModelSection:
    """The best model of one question, by the primary metric."""
    metric, place = report.verdict.metric, report.ks.index(report.verdict.k)
    return max(report.models, key=lambda section: section.views[view].metrics[metric][place].value)


def _can_bind(rail: Guardrail) -> bool:
    """Whether a limit can hold any model back: a share is never below 0 nor above 1."""
    if not rail.ok or rail.limit is None or rail.at_least is None:
        return True
    return rail.limit > 0.0 if rail.at_least else rail.name not in SHARES or rail.limit < 1.0


def _beside(report: EvaluationReport) -> ModelSection | None:
    """The model whose lists stand beside the winner's: of the former champion's experiment, else the next."""
    others = report.models[1:]
    former = (report.verdict.champion or "").rpartition("-v")[0]
    return next((one for one in others if one.experiment == former), others[0] if others else None)


def write_report(report: EvaluationReport, folder: Path) -> tuple[Path, Path]:
    """Write `report.html` and `report.json`, each whole or not at all; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, document = folder / "report.html", folder / "report.json"
    write_page(report, page)
    _write(document, report.model_dump_json(indent=1))
    return page, document


def write_page(report: EvaluationReport, page: Path) -> None:
    """Write the HTML alone, whole or not at all."""
    page.parent.mkdir(parents=True, exist_ok=True)
    _write(page, render(report))


def _write(path: Path, text: str) -> None:
    staging = path.with_suffix(f"{path.suffix}.part")
    staging.write_text(text, encoding="utf-8")
    os.replace(staging, path)


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _percent(value: float) -> str:
    """As many digits as tell something: 0.04%, 1.2%, 38%."""
    share = value * 100
    return f"{share:.0f}%" if share >= 10 else f"{share:.1f}%" if share >= 1 else f"{share:.2g}%"


def _p_value(comparison: PairedComparison, name: str = "p") -> str:
    return format_p(comparison.p_value, comparison.p_floor, name=name)


def _count(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")  # a thin space, which never breaks


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _minute(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 9.95 else f"{value:.1f} s"


def _mib(value: float) -> str:
    return f"{_count(value)} MiB" if value >= 9.95 else f"{value:.1f} MiB"


def _judgement(comparison: PairedComparison) -> str:
    if comparison.significant:
        return "better" if comparison.difference > 0 else "worse"
    return "not significant"


def _amount(value: float, name: str) -> str:
    """A figure beyond accuracy as its kind is read: a share, bits, money."""
    if name in {"popularity_share", "in_stock", "coverage"}:
        return _percent(value)
    return f"{value:.2f}" if name in {"novelty", "revenue", "margin"} else f"{value:.3f}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _moved(index: float) -> str:
    return "little moved" if index < 0.1 else "some moved" if index <= 0.25 else "much moved"


_FILTERS: dict[str, Callable[..., str]] = {
    "amount": _amount,
    "capfirst": _capitalised,
    "moved": _moved,
    "figure": _figure,
    "signed": _signed,
    "percent": _percent,
    "p_value": _p_value,
    "count": _count,
    "day": _day,
    "minute": _minute,
    "seconds": _seconds,
    "mib": _mib,
    "judgement": _judgement,
}
