"""How results of tests are printed: tables for people, plain values for scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from training.commands.console import print_table, table_of

if TYPE_CHECKING:
    from training.evaluation.compare import Duel
    from training.evaluation.summary import MeanEstimate
    from training.fit.evaluate_registered import Examination, Trial
    from training.studies.learning_curves import Curve

WORDS = {"all": "all products", "new": "new to the user"}

__all__ = [
    "examination_json",
    "show_curve",
    "show_duel",
    "show_how",
    "show_splits",
    "show_trial",
    "splits_json",
]


def show_splits(found: Examination) -> None:
    """What each split asks and how much of the test period it kept."""
    console = Console()
    for split in found.splits:
        kept = (
            f"{_day(split.cutoff)} to {_day(split.until)}: "
            f"{split.users['kept']:,} of {split.users['total']:,} users and "
            f"{split.events['kept']:,} of {split.events['total']:,} events kept"
        )
        console.print(f"{found.kind}, {kept}.", markup=False, highlight=False, soft_wrap=True)
        if left := _left_out(split.events):
            console.print(f"  left out: {left}", markup=False, highlight=False, style="dim", soft_wrap=True)
    note = found.splits[-1].note.rsplit(": ", 1)[-1] if found.kind == "rolling" else found.splits[0].note
    console.print(f"{note[:1].upper()}{note[1:]}.", markup=False, highlight=False, soft_wrap=True)


def show_how(trial: Trial) -> None:
    """Whether the artifact itself was tested or its recipe was refitted, and why."""
    refitted = trial.how.count("refitted")
    if not refitted:
        message = f"{trial.name}: tested as registered; it learned nothing later than the cutoff."
    else:
        often = "" if len(trial.how) == 1 else f" for {refitted} of {len(trial.how)} periods"
        message = (
            f"{trial.name}: its algorithm and parameters were refitted on the past{often}, because "
            f"{trial.reason.split('. ')[0]}."
        )
    Console().print(message, markup=False, highlight=False, soft_wrap=True)


def show_trial(trial: Trial, ks: Sequence[int], k: int, draws: int, seed: int) -> None:
    """Every metric of both views at k with its interval, the primary one at every k, and the segments."""
    from training.evaluation.summary import LABELS, summarise

    console = Console()
    console.print()
    show_how(trial)
    views = trial.evaluation.views
    found = {view: summarise(result, ks, draws=draws, seed=seed) for view, result in views.items()}
    place = list(ks).index(k)
    table = table_of(f"{escape(trial.name)} at {k}", "all products", "new to the user")
    for metric in dict.fromkeys(name for one in found.values() for name in one):
        cells = [one[metric][place] if metric in one else None for one in found.values()]
        table.add_row(LABELS.get(metric, metric), *(_interval(cell) for cell in cells))
    print_table(table, console)
    for metric, why in views["all"].unknown.items():
        console.print(f"  {LABELS.get(metric, metric)}: {why}", style="dim", highlight=False)
    if len(ks) > 1:
        lengths = table_of("NDCG at", *(str(one) for one in ks))
        for view, figures in found.items():
            lengths.add_row(WORDS[view], *(_number(figure.value) for figure in figures["ndcg"]))
        print_table(lengths, console)
    parts = table_of("segment", "users", f"NDCG@{k}, all", "")
    for segment in [*trial.segments.get("all", []), *([trial.guests] if trial.guests else [])]:
        size = "too small" if segment.small else ""
        parts.add_row(
            escape(segment.name[:36]), f"{segment.users:,}", _interval(segment.figures["ndcg"]), size
        )
    if parts.row_count:
        print_table(parts, console)
        if len(trial.how) > 1:
            console.print(
                f"  segments: over all {len(trial.how)} periods; each user counts once in a segment, with "
                "the mean of the periods in which they were in it",
                style="dim",
                highlight=False,
                soft_wrap=True,
            )


def show_duel(duel: Duel) -> None:
    """The table of all metrics, then the verdict."""
    from training.evaluation.significance import format_p
    from training.evaluation.summary import LABELS

    console = Console()
    words = {"a": "a", "b": "b", "tie": "tie", "different": "differ"}
    console.print(f"a: {duel.a}   b: {duel.b}", markup=False, highlight=False)
    for view, heading in WORDS.items():
        table = table_of(f"{heading}, at {duel.k}", "a", "b", "a − b", "p", "finds", "better")
        for row in duel.rows:
            if row.view == view:
                table.add_row(
                    LABELS.get(row.metric, row.metric),
                    _number(row.a),
                    _number(row.b),
                    _signed(row.difference),
                    format_p(row.p_value, row.floor, name=""),
                    "–" if row.smallest is None else _number(row.smallest),
                    words[row.better],
                )
        if table.row_count:
            print_table(table, console)
    console.print(
        "p: two-sided, Holm-adjusted for all rows. finds: the smallest true difference that such a test "
        "finds in four of five cases.",
        style="dim",
        highlight=False,
    )
    console.print(f"Verdict: {duel.words}.", markup=False, highlight=False, soft_wrap=True)


def show_curve(curve: Curve) -> None:
    """One row per point, then what it means."""
    console = Console()
    head = "data" if curve.kind == "data" else "days old"
    what = f"{curve.metric}@{curve.k}"
    table = table_of(head, "events", f"{what}, all", "new to the user")
    for point in curve.points:
        x = f"{point.x:.0%}" if curve.kind == "data" else f"{point.x:g}"
        figures = [_interval(figure) for figure in point.views.values()]
        table.add_row(x, f"{point.events:,}", *figures)
    print_table(table, console)
    if curve.words:
        console.print(
            f"{curve.words[:1].upper()}{curve.words[1:]}.", markup=False, highlight=False, soft_wrap=True
        )


def examination_json(found: Examination, ks: Sequence[int], draws: int, seed: int) -> dict[str, Any]:
    """Everything, every metric at every k."""
    from training.evaluation.summary import plain, summarise

    return {
        "dataset": found.dataset,
        "split": found.kind,
        "ks": list(ks),
        "draws": draws,
        "seed": seed,
        "splits": splits_json(found),
        "models": [
            {
                "name": trial.name,
                "how": trial.how,
                "periods": len(trial.how),
                "reason": trial.reason or None,
                "seconds": round(trial.seconds, 2),
                "views": {
                    view: {
                        "users": int(result.users.size),
                        "empty_share": result.empty_share,
                        "metrics": plain(summarise(result, ks, draws=draws, seed=seed)),
                        "unknown": result.unknown,
                        "segments": plain(trial.segments.get(view, [])),
                    }
                    for view, result in trial.evaluation.views.items()
                },
                "guests": plain(trial.guests),
            }
            for trial in found.trials
        ],
    }


def splits_json(found: Examination) -> list[dict[str, Any]]:
    """What each split kept and left out."""
    return [
        {
            "kind": split.kind,
            "note": split.note,
            "cutoff": datetime.fromtimestamp(split.cutoff / 1e6, UTC).isoformat(),
            "until": datetime.fromtimestamp(split.until / 1e6, UTC).isoformat(),
            "events": split.events,
            "users": split.users,
        }
        for split in found.splits
    ]


def _interval(figure: MeanEstimate | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "–"
    if figure.low == figure.high == figure.value:
        return _number(figure.value)
    return f"{_number(figure.value)} {_number(figure.low)}–{_number(figure.high)}"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}" if abs(value) < 10 else f"{value:+,.2f}"


def _left_out(events: dict[str, int]) -> str:
    named = {word: count for word, count in events.items() if word not in ("total", "kept") and count}
    return ", ".join(f"{count:,} {word.replace('_', ' ')}" for word, count in named.items())


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M}"
