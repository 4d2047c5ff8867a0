"""The report as one self-contained HTML page, with its JSON twin beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.evaluation.report.document import Comparison, ModelSection, Report, ViewName
from training.evaluation.report.drawing import mark_of
from training.evaluation.report.history import history_plot
from training.evaluation.report.part_plots import exposure_plot, forest_metric, forest_plot
from training.evaluation.report.plots import coverage_plot, curve_plot, dot_plot, reliability_plot
from training.evaluation.report.search_plot import ORDERS, PARTS, search_plot
from training.evaluation.summary import HIGHER_IS_BETTER
from training.evaluation.summary import LABELS as WORDS

__all__ = ["render", "write_page", "write_report"]

LABELS = {
    "ndcg": "NDCG",
    "precision": "Precision",
    "recall": "Recall",
    "hit_rate": "Hit rate",
    "map": "MAP",
    "mrr": "MRR",
}
VIEW_TITLES: dict[ViewName, str] = {"all": "All products", "new": "New to the user"}
DROPPED = {
    "guest": "by guests",
    "no_positive_evidence": "no success by the target",
    "product_hidden": "product can't be shown",
    "not_the_next": "after the next success, which alone is asked for",
    "user_without_history": "user without an event before",
    "product_unknown_at_cutoff": "product did not exist at the cutoff",
    "user_unknown_at_cutoff": "user unknown at the cutoff",
    "user_with_too_few_events": "user with too few events before the cutoff",
}
GUARDRAIL_NAMES = {"scoring_ms": "scoring time, ms per 1000 users"}
SYMBOLS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "⬟")


def render(report: Report) -> str:
    """The whole page as text: styles, figures and lists inside, nothing loaded from anywhere."""
    environment = Environment(
        loader=PackageLoader("training.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    verdict = report.verdict
    label = LABELS[verdict.metric]
    views: tuple[ViewName, ...] = ("all", "new")
    drawings: dict[str, Callable[[Report, ViewName, str, str], str]] = {
        "dots": dot_plot,
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
    winner = report.models[0]
    shared = {
        view: [n for n in WORDS if any(n in m.views[view].beyond for m in report.models)] for view in views
    }
    return environment.get_template("page.html.j2").render(
        report=report,
        verdict=verdict,
        winner=winner,
        place=report.ks.index(verdict.k),
        label=label,
        labels=LABELS,
        views=views,
        view_titles=VIEW_TITLES,
        guardrail_names=GUARDRAIL_NAMES,
        dropped=DROPPED,
        plots=plots,
        history=Markup(history_plot(report, label)),
        reliability=Markup(reliability_plot(report)) if any(m.reliability for m in report.models) else "",
        mark={section.name: mark_of(report, section.name) for section in report.models},
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


def _beside(report: Report) -> ModelSection | None:
    """The model whose lists stand beside the winner's: of the former champion's experiment, else the next."""
    others = report.models[1:]
    former = (report.verdict.champion or "").rpartition("-v")[0]
    return next((one for one in others if one.experiment == former), others[0] if others else None)


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write `report.html` and `report.json`, each whole or not at all; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, document = folder / "report.html", folder / "report.json"
    write_page(report, page)
    _write(document, report.model_dump_json(indent=1))
    return page, document


def write_page(report: Report, page: Path) -> None:
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


def _chance(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.4f}" if p_value < 0.01 else f"= {p_value:.3f}"


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


def _judgement(comparison: Comparison) -> str:
    if comparison.significant:
        return "better" if comparison.difference > 0 else "worse"
    return "no difference shown"


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
    "chance": _chance,
    "count": _count,
    "day": _day,
    "minute": _minute,
    "seconds": _seconds,
    "mib": _mib,
    "judgement": _judgement,
}
