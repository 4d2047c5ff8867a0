"""Prints what came of A/B tests: a verdict, why, and each metric of both arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from training.commands.console import table_of

if TYPE_CHECKING:
    from training.online.ab_results import AbResult, Population

__all__ = ["show_results"]

_WORDS = {
    "invalid": "[red]not valid[/red]",
    "too_early": "[yellow]too early to tell[/yellow]",
    "challenger": "[green]the challenger is better[/green]",
    "control": "[green]the control is better[/green]",
    "no_difference": "no difference found",
}
_SHARES = {"clicked", "carted", "bought"}


def show_results(tests: Sequence[AbResult], console: Console) -> None:
    """One part for each test; nothing without any."""
    for test in tests:
        _show(test, console)
    if tests:
        console.print(
            "One user counts once. clicked, carted, bought: users who did so with a product that they were "
            "shown in the test; revenue of those products, and all that was spent since, both a user. "
            "Intervals are 95%; p of metrics that do not decide is Holm-corrected; 'finds': the smallest "
            "true difference that four of five such tests would find. Guests: by feedback that "
            "names its answer.",
            style="dim",
            soft_wrap=True,
            highlight=False,
        )


def _show(test: AbResult, console: Console) -> None:
    console.print(
        f"\n[bold]A/B test {escape(test.name)}[/bold] ({test.state}, day {test.days:.1f} of "
        f"{test.planned_days:g}): {_WORDS[test.verdict.outcome]}",
        highlight=False,
    )
    console.print(f"{escape(test.verdict.reason)}.", soft_wrap=True, highlight=False)
    for name, people in (("users", test.users), ("guests", test.guests)):
        if sum(people.counted.values()) + people.only_fallback + people.in_both:
            _show_people(name, people, test, console)


def _show_people(name: str, people: Population, test: AbResult, console: Console) -> None:
    from training.evaluation.significance import format_p

    table = table_of(name, test.control, test.challenger, "difference", "p", "finds")
    for one in people.differences:
        rate = one.metric in _SHARES
        table.add_row(
            f"[bold]{one.metric}[/bold]" if (name, one.metric) == ("users", test.metric) else one.metric,
            _value(one.control, rate),
            _value(one.challenger, rate),
            f"{_signed(one.difference, rate)} ({_signed(one.low, rate)} to {_signed(one.high, rate)})",
            format_p(one.adjusted, name=""),
            "–" if one.smallest is None else _value(one.smallest, rate),
        )
    if people.differences:
        console.print(table)
    control, challenger = people.counted["control"], people.counted["challenger"]
    parts = [f"{control:,} {name} of {test.control}, {challenger:,} of {test.challenger}"]
    if people.mismatch is not None:
        goes = "not " if people.mismatch.found else ""
        parts.append(f"{goes}as many as the share says ({format_p(people.mismatch.p_value)})")
    if people.fallback_share:
        parts.append(
            f"{people.fallback_share:.1%} of the lists by another model than the arm's, "
            f"{people.only_fallback:,} {name} with no other"
        )
    if people.in_both:
        parts.append(f"{people.in_both:,} {name} were answered by both models")
    console.print("; ".join(parts) + ".", style="dim", markup=False, soft_wrap=True, highlight=False)


def _value(value: float, rate: bool) -> str:
    return f"{100 * value:.2f}%" if rate else f"{value:,.2f}"


def _signed(value: float, rate: bool) -> str:
    return f"{100 * value:+.2f}" if rate else f"{value:+,.2f}"
