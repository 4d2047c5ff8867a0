"""What a shop is served, as a table for people and as plain values for scripts."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from training.commands.console import print_table, table_of
from training.served_evaluation.differences import PLACES

if TYPE_CHECKING:
    from training.evaluation.summary import MeanEstimate
    from training.served_evaluation.differences import ServedFigure
    from training.served_evaluation.evaluate import ServedReport

__all__ = ["served_json", "served_verdict", "show_served"]

QUESTIONS = {"any": "any product", "new": "new to the user"}
WORDS = {
    "policy": "policy",
    "hidden": "hidden since",
    "filled": "filled with popular",
    "newer": "newer events",
    "rules": "rules",
    "ab_test": "A/B test",
    "deadline": "deadline",
    "other": "other",
}


def show_served(report: ServedReport) -> None:
    """One row for each question and way of reading; the last line says whether they agree."""
    console = Console()
    console.print(_lists_compared(report), markup=False, highlight=False, soft_wrap=True)
    judged = ("NDCG@20", "model's own", "change") if report.judged else ()
    table = table_of("question", "read", "users", *judged, "places that differ")
    for one in report.figures:
        table.add_row(
            QUESTIONS[one.question],
            one.source,
            f"{one.users:,}",
            *((_figure(one.ndcg), _figure(one.offline), f"{one.change:+.1%}") if report.judged else ()),
            _why(one),
        )
    print_table(table, console)
    informed = max((one.informed for one in report.figures if one.source == "stored"), default=0)
    if informed:
        console.print(
            f"  {informed:,} stored lists were made after their user's first success of the period, and what "
            "was bought by then may be left out of them.",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
    console.print(served_verdict(report), markup=False, highlight=False, soft_wrap=True)


def _lists_compared(report: ServedReport) -> str:
    """Which lists, and what they are judged by."""
    lists = f"{report.model}, generation {report.generation}: "
    if not report.judged:
        return (
            f"{lists}no successes ({', '.join(report.target)}) since it learned, up to "
            f"{_day(report.start)}: the first {PLACES} places of {report.listed['any']:,} users are "
            "compared, and no NDCG is measured."
        )
    return (
        f"{lists}successes ({', '.join(report.target)}) from {_day(report.start)} to {_day(report.end)}; a "
        f"stored list have {report.listed['any']:,} of {report.users['any']:,} users with one, "
        f"{report.listed['new']:,} of {report.users['new']:,} with a new product."
    )


def served_verdict(report: ServedReport) -> str:
    """One line: that what is served is worth what the model's own lists are, or what differs by how much."""
    apart = [one for one in report.figures if not one.agrees]
    if not report.judged:
        places = sum(one.places for one in report.figures)
        equal = 1 - sum(one.differing for one in report.figures) / places if places else 1.0
        unknown = sum(one.causes.get("other", 0) for one in report.figures)
        return (
            f"{equal:.1%} of the first {PLACES} places that are served are those of the model's own lists; "
            f"{unknown:,} of {places:,} differ for an unknown reason."
        )
    if not apart:
        return "What is served agrees with the model's own lists within 1% of NDCG@20."
    differences = [
        f"{QUESTIONS[one.question]}, {one.source}: {one.ndcg.value:.4f} instead of {one.offline.value:.4f} "
        f"({one.change:+.1%}; {_why(one)})"
        for one in apart
    ]
    return f"What is served differs from the model's own lists: {'; '.join(differences)}."


def served_json(report: ServedReport, draws: int, seed: int) -> dict[str, Any]:
    """Everything."""
    from training.evaluation.summary import plain

    rows = [
        {
            **plain(one),
            "change": plain(one.change),
            "share_differing": one.differing / one.places if one.places else 0.0,
            "agrees": one.agrees,
        }
        for one in report.figures
    ]
    return {
        **plain(report),
        "start": _moment(report.start).isoformat(),
        "end": _moment(report.end).isoformat(),
        "figures": rows,
        "agree": report.agree,
        "verdict": served_verdict(report),
        "draws": draws,
        "seed": seed,
    }


def _why(one: ServedFigure) -> str:
    """The share of places that differ, and the share of all places that each cause has."""
    if not one.differing:
        return "none"
    parts = [
        f"{WORDS[cause]} {count / one.places:.1%}"
        for cause, count in sorted(one.causes.items(), key=lambda each: -each[1])
    ]
    return f"{one.differing / one.places:.1%}: {', '.join(parts)}"


def _figure(one: MeanEstimate) -> str:
    return "–" if math.isnan(one.value) else f"{one.value:.4f} {one.low:.4f}–{one.high:.4f}"


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _day(microseconds: int) -> str:
    return f"{_moment(microseconds):%Y-%m-%d %H:%M}"
