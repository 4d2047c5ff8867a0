"""`recsys train off-policy`: what another model would have earned on lists that were drawn at random."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from recsys.errors import Invalid
from training.commands.console import AsJson, print_json, print_table, table_of
from training.commands.online import moment_of, span_of

if TYPE_CHECKING:
    from training.off_policy.evaluation import OffPolicyReport

__all__ = ["app"]

app = typer.Typer()


@app.command("off-policy")
def off_policy(
    model: Annotated[str, typer.Option(help="A registered model, for example als-v3.")],
    since: Annotated[
        str, typer.Option(help="A date (2026-11-01), or a span back from now: 12h, 7d, 4w.")
    ] = "4w",
    until: Annotated[str | None, typer.Option(help="A date; default: now.")] = None,
    window: Annotated[str, typer.Option(help="Time after a list in which an interaction counts.")] = "7d",
    reward: Annotated[
        str, typer.Option(help="What a place earns: clicks, carts, purchases or revenue.")
    ] = "clicks",
    shelf: Annotated[str, typer.Option("--list", help="Name of the lists.")] = "for_you",
    places: Annotated[int, typer.Option(min=1, max=20, help="First places of a list that count.")] = 3,
    temperature: Annotated[
        float | None,
        typer.Option(min=0.1, max=100, help="Of the model's own draw; default: that of the settings."),
    ] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="The model ranks the candidates of each drawn list only.")
    ] = False,
    clip: Annotated[float, typer.Option(min=1, help="Weights above it count as it.")] = 100.0,
    min_effective: Annotated[
        float, typer.Option(min=1, help="Fewer effective visitors at a place are refused.")
    ] = 100.0,
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Resamples for intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Estimate what a model would have earned on the lists that were drawn at random, without displaying it.

    Lists are drawn with RECSYS_EXPLORATION__SHARE above 0; those before the end of the model's training data
    do not count. IPS, SNIPS and doubly robust estimates per list, with 95% intervals that resample visitors.
    Ends with code 2 where the log has no support for the model.

    Example: recsys train off-policy --model als-v3 --since 2w --places 3 --json
    """
    from recsys import clock
    from recsys.database.session import unit_of_work
    from recsys.settings import get_settings
    from training.off_policy.evaluation import OffPolicyOptions, evaluate
    from training.off_policy.log import Reward

    if reward not in list(Reward):
        raise Invalid(f"--reward {reward!r}: expected one of {', '.join(Reward)}")
    now, exploration = clock.now(), get_settings().exploration
    options = OffPolicyOptions(
        since=moment_of(since, now, "--since"),
        until=now if until is None else moment_of(until, now, "--until"),
        window=span_of(window, "--window"),
        reward=Reward(reward),
        shelf=shelf,
        places=places,
        temperature=exploration.temperature if temperature is None else temperature,
        depth=exploration.depth,
        clip=clip,
        min_effective=min_effective,
        rerank=rerank,
        draws=draws,
        seed=seed,
    )
    if options.since >= options.until:
        raise Invalid(
            f"--since ({options.since:%Y-%m-%d %H:%M}) is not before --until ({options.until:%Y-%m-%d %H:%M})"
        )
    with unit_of_work() as session:
        report = evaluate(session, model, options)
    if as_json:
        print_json(
            {
                **asdict(report),
                "since": report.since.isoformat(),
                "until": report.until.isoformat(),
                "places": places,
                "temperature": options.temperature,
                "rerank": rerank,
                "clip": clip,
            }
        )
    else:
        _show(report, clip)


def _show(report: OffPolicyReport, clip: float) -> None:
    console = Console()
    estimates = report.estimates
    table = table_of(f"{report.reward} per list", "value", "95% interval")
    for name, each in (
        ("displayed lists", estimates.logged),
        (f"{escape(report.model)}, doubly robust", estimates.doubly_robust),
        (f"{escape(report.model)}, SNIPS", estimates.snips),
        (f"{escape(report.model)}, IPS", estimates.ips),
        ("difference, doubly robust", estimates.gain),
    ):
        table.add_row(name, f"{each.value:.4f}", f"{each.low:.4f} to {each.high:.4f}")
    print_table(table, console)
    support = table_of("place", "mean weight", "effective lists", "effective visitors", "largest", "clipped")
    for place in estimates.places:
        mean = place.mean_weight
        support.add_row(
            str(place.place),
            f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})",
            f"{place.effective_lists:,.0f}",
            f"{place.effective_visitors:,.0f}",
            f"{place.largest_weight:.1f}",
            f"{place.clipped:.2%}",
        )
    print_table(support, console)
    console.print(
        f"{report.lists:,} drawn lists of {report.visitors:,} visitors, {report.since:%Y-%m-%d %H:%M} to "
        f"{report.until:%Y-%m-%d %H:%M}; {report.guests:,} of guests, {report.without_history:,} of visitors "
        f"without a history, which any model leaves as they are; {report.left_out:,} left out. "
        f"{report.unsupported:.1%} of what it would display was no candidate. Weights are clipped at "
        f"{clip:g}.",
        style="dim",
        soft_wrap=True,
        highlight=False,
    )
