"""`recsys train live`: what happened after recommendations were shown."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from recsys.errors import Invalid
from training.commands.ab_tables import show_results
from training.commands.console import AsJson, print_json, print_table, table_of

if TYPE_CHECKING:
    from training.online.metrics import Group

__all__ = ["app", "moment_of", "span_of"]

app = typer.Typer()
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


@app.command()
def live(
    since: Annotated[
        str, typer.Option(help="A date (2026-11-01), or a span back from now: 12h, 7d, 4w.")
    ] = "7d",
    until: Annotated[str | None, typer.Option(help="A date; default: now.")] = None,
    window: Annotated[
        str, typer.Option(help="Time after an impression in which an interaction counts.")
    ] = "7d",
    answered: Annotated[
        bool,
        typer.Option("--answered", help="Count every response as shown, not only reported impressions."),
    ] = False,
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Resamples for intervals.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Click, cart and purchase rates of what was shown, by model, placement, position and segment.

    Everybody who was shown something is in the denominator, with or without a success. Model and position
    are those of the answer where feedback names its request_id. A/B tests that ran then follow, each judged
    from its own beginning by what was answered, users against users; their intervals hold however often they
    are looked at.

    Example: recsys train live --since 2w --window 3d
    """
    import numpy as np

    from recsys import clock
    from recsys.database.session import unit_of_work
    from training.online.ab_results import read_results
    from training.online.impressions import read_impressions, unknown_models
    from training.online.measurement import measured_test
    from training.online.metrics import by, position_band, summary

    now = clock.now()
    start, end = moment_of(since, now, "--since"), now if until is None else moment_of(until, now, "--until")
    if start >= end:
        raise Invalid(f"--since ({start:%Y-%m-%d %H:%M}) is not before --until ({end:%Y-%m-%d %H:%M})")
    within = span_of(window, "--window")
    with unit_of_work() as session:
        shown = read_impressions(session, since=start, until=end, window=within, answered=answered)
        tests = read_results(session, since=start, until=end)
    bands = np.array([position_band(int(one)) for one in shown.position], dtype=np.str_)
    groups = {
        "all": [summary(shown, "all", draws=draws, seed=0)] if len(shown) else [],
        "model": by(shown, shown.model, draws=draws, seed=0),
        "placement": by(shown, shown.placement, draws=draws, seed=0),
        "position": by(shown, bands, draws=draws, seed=0),
        "segment": by(shown, shown.segment, draws=draws, seed=0),
    }
    if as_json:
        print_json(
            {
                "since": start.isoformat(),
                "until": end.isoformat(),
                "window_hours": within / timedelta(hours=1),
                "shown": "answered" if answered else "reported",
                "impressions": len(shown),
                "without_model": unknown_models(shown),
                **{name: [asdict(group) for group in several] for name, several in groups.items()},
                "ab_tests": [measured_test(test).model_dump(mode="json") for test in tests],
            }
        )
        return
    console = Console()
    if not len(shown):
        console.print(
            f"Nothing was reported as shown between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M}. Report "
            "it with POST /api/v1/recommendations/feedback, feedback_type shown; or count all that was "
            "answered: --answered.",
            soft_wrap=True,
        )
        show_results(tests, console)
        return
    for name, several in groups.items():
        _show(name, several, console)
    console.print(
        "Intervals of rates resample users, those of shares are Wilson's, both 95%. Revenue: paid orders of "
        f"the product within {window} after it was shown, those refunded whole left out.",
        style="dim",
        soft_wrap=True,
        highlight=False,
    )
    if unknown_models(shown):
        console.print(
            f"{unknown_models(shown):,} impressions name no recommendation, or no list was live: model "
            "unknown.",
            style="dim",
            highlight=False,
        )
    show_results(tests, console)


@app.command()
def measure(as_json: AsJson = False) -> None:
    """Measure 7 and 28 days beside the days before them, and all A/B tests, for the console.

    An A/B test whose arm breaks one of its guardrails is stopped, with the reason as its conclusion. The
    figures are those of `recsys train live`, stored in the database, so that every host displays the same.

    Example: recsys train measure
    """
    from models.registry.measurement import write_measurement
    from recsys import clock
    from recsys.database.session import unit_of_work
    from recsys.processes.priority import give_way
    from training.online.measurement import measure as measure_all

    give_way()
    with unit_of_work() as session:
        measurement = measure_all(session, clock.now())
        write_measurement(session, measurement)
    if as_json:
        print_json(measurement.model_dump(mode="json"))
        return
    span = measurement.spans[-1]
    impressions = 0 if span.current.total is None else span.current.total.impressions
    typer.echo(
        f"{impressions:,} impressions of {span.days} days and {len(measurement.tests)} A/B tests measured in "
        f"{measurement.seconds:.1f} s."
    )


def _show(name: str, groups: list[Group], console: Console) -> None:
    table = table_of(
        name,
        "shown",
        "users",
        "without",
        "clicked",
        "carted",
        "bought",
        "users who bought",
        "hours",
        "revenue",
    )
    for group in groups:
        rates = [
            f"{100 * rate.value:.2f}% ({100 * rate.low:.2f}–{100 * rate.high:.2f})"
            for rate in group.rates.values()
        ]
        share = group.user_shares["bought"]
        table.add_row(
            escape(group.name),
            f"{group.impressions:,}",
            f"{group.users:,}",
            f"{group.users_without_any:,}",
            *rates,
            f"{100 * share.value:.1f}% ({100 * share.low:.1f}–{100 * share.high:.1f})",
            "–" if group.latency is None else f"{group.latency.median_hours:.1f}",
            f"{group.revenue:,}",
        )
    print_table(table, console)


def moment_of(given: str, now: datetime, option: str) -> datetime:
    """The moment of a date, or of a span back from now. Raises Invalid, naming the option."""
    if _SPAN.fullmatch(given):
        return now - span_of(given, option)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise Invalid(
            f"{option} {given!r}: expected a date such as 2026-11-01, or a span such as 7d"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def span_of(given: str, option: str) -> timedelta:
    """The length of a span such as 12h. Raises Invalid, naming the option."""
    found = _SPAN.fullmatch(given)
    if found is None:
        raise Invalid(f"{option} {given!r}: expected a number with h, d or w, such as 12h or 7d")
    hours = float(found[1]) * _HOURS[found[2]]
    if not 0 < hours <= 24 * 3660:
        raise Invalid(f"{option} {given!r}: expected more than 0 and at most ten years")
    return timedelta(hours=hours)
