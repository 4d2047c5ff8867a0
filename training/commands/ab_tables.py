"""Prints what came of experiments: a verdict, why, and each metric of each arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from training.commands.console import print_table, table_of

if TYPE_CHECKING:
    from training.online.ab_results import AbResult
    from training.online.ab_verdict import Population

__all__ = ["show_results"]

_WORDS = {
    "invalid": "[red]not valid[/red]",
    "harmful": "[red]an arm does harm[/red]",
    "too_early": "[yellow]too early to tell[/yellow]",
    "undecided": "[yellow]not decided yet[/yellow]",
    "treatment": "[green]an arm is better[/green]",
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
            "Counted: users whose outcome days are over, each once. clicked, carted, bought: who did so with "
            "a product of a list in the test; revenue of those products, and all that was spent, both a user "
            "and up to the 99th percentile of those who paid. Differences are adjusted by their past. "
            "Intervals are 95% at all looks together for each metric, arms corrected (Bonferroni). Guests: "
            "by feedback that names its answer.",
            style="dim",
            soft_wrap=True,
            highlight=False,
        )


def _show(test: AbResult, console: Console) -> None:
    console.print(
        f"\n[bold]A/B test {escape(test.name)}[/bold] ({test.state}, day {test.days:.1f} of "
        f"{test.design.days:g}): {_WORDS[test.verdict.outcome]}",
        highlight=False,
    )
    console.print(f"{escape(test.verdict.reason)}.", soft_wrap=True, highlight=False)
    if test.design.kind == "interleaved":
        _show_preference(test, console)
        return
    _show_people(f"{test.design.unit}s", test.units, test, console)
    if test.guests is not None and sum(test.guests.counted.values()) + sum(test.guests.waiting.values()):
        _show_people("guests", test.guests, test, console)


def _show_preference(test: AbResult, console: Console) -> None:
    visitors, arm = test.units, test.design.arms[1]
    table = table_of("visitors", "credit of control", f"of {arm.name}", "preference", "p")
    for each in visitors.comparisons:
        compared, balance = each.compared, each.compared.relative or 0.0
        table.add_row(
            f"[bold]{each.metric}[/bold]" if each.metric == test.design.metric else each.metric,
            f"{(1 - balance) / 2:.1%}",
            f"{(1 + balance) / 2:.1%}",
            f"{compared.difference:+.4f} ({compared.low:+.4f} to {compared.high:+.4f})",
            f"{compared.p_value:.3f}",
        )
    if visitors.comparisons:
        print_table(table, console)
    fallbacks = visitors.fallback_share[arm.name]
    console.print(
        f"Lists of both {test.control} and {arm.variant}, credit {test.design.credit}: "
        f"{visitors.counted[arm.name]:,} visitors counted, {visitors.waiting[arm.name]:,} waiting; "
        f"{fallbacks:.1%} of the lists of one arm only. The preference is the mean credit of a visitor, "
        "95% at all looks together.",
        style="dim",
        markup=False,
        soft_wrap=True,
        highlight=False,
    )


def _show_people(name: str, people: Population, test: AbResult, console: Console) -> None:
    table = table_of(name, "arm", "control", "arm's", "difference", "p", "past explains")
    for each in people.comparisons:
        rate, compared = each.metric in _SHARES, each.compared
        table.add_row(
            f"[bold]{each.metric}[/bold]" if each.metric == test.design.metric else each.metric,
            each.arm,
            _value(compared.control, rate),
            _value(compared.treatment, rate),
            f"{_signed(compared.difference, rate)} ({_signed(compared.low, rate)} to "
            f"{_signed(compared.high, rate)})",
            f"{compared.p_value:.3f}",
            f"{each.variance_removed:.0%}",
        )
    if people.comparisons:
        print_table(table, console)
    parts = [
        f"{arm.name} ({arm.variant}, {arm.share:.0%}): {people.counted[arm.name]:,} {name} counted, "
        f"{people.waiting[arm.name]:,} waiting"
        for arm in test.design.arms
    ]
    if people.sample_ratio is not None:
        goes = "not as many as the shares say" if people.sample_ratio.found else "as many as the shares say"
        parts.append(f"{goes} (p = {people.sample_ratio.p_value:.2g})")
    parts += [
        f"{share:.1%} of the lists of {arm} by another model than the arm's"
        for arm, share in people.fallback_share.items()
        if share
    ]
    if people.in_both:
        parts.append(f"{people.in_both:,} {name} were answered in two arms and are left out")
    console.print("; ".join(parts) + ".", style="dim", markup=False, soft_wrap=True, highlight=False)


def _value(value: float, rate: bool) -> str:
    return f"{100 * value:.2f}%" if rate else f"{value:,.2f}"


def _signed(value: float, rate: bool) -> str:
    return f"{100 * value:+.2f}" if rate else f"{value:+,.2f}"
