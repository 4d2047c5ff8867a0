"""`recsys serve ab-test`: plan, start, follow and end experiments on the shop's visitors."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.errors import Invalid
from recsys.processes.user import command_user

if TYPE_CHECKING:
    from recsys.domains.recommendations.ab_tests.design import ExperimentDesign
    from recsys.domains.recommendations.ab_tests.outside import OutsideLists
    from recsys.domains.recommendations.ab_tests.tables import AbTest

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Experiments with models, rules and settings on live visitors. `recsys train live` has the results.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Name = Annotated[str, typer.Argument(help="Name of the test, such as als-against-knn.")]
Metric = Annotated[
    str, typer.Option(help="Metric that decides the test: clicked, carted, bought, revenue or spent.")
]
Days = Annotated[float, typer.Option(help="Planned days; it may be decided earlier.")]
_HIDDEN = {"salt", "challenger", "share", "live_control"}


@app.command(epilog="Example: recsys serve ab-test plan --metric bought --effect 10 --share 0.5")
def plan(
    metric: Metric = "bought",
    effect: Annotated[
        float, typer.Option(help="The difference to find, in percent of the present value.")
    ] = 10.0,
    share: Annotated[
        list[float] | None, typer.Option(help="Share of an arm beside the control; repeat it for several.")
    ] = None,
    days: Days = 28.0,
    baseline: Annotated[
        float | None, typer.Option(help="Mean of the metric now; default: as measured in 28 days.")
    ] = None,
    deviation: Annotated[
        float | None, typer.Option(help="Standard deviation of money between users, for revenue and spent.")
    ] = None,
    interleave: Annotated[
        bool,
        typer.Option(
            "--interleave",
            help="For interleaved lists; --effect is by how many percent more of those who choose are for "
            "the better arm.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute how many users a test needs, looked at every day, and whether the days bring them."""
    from models.registry.experiments import plan_sample
    from models.registry.measurement import read_measurement
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, Variant

    for option, value in (("--effect", effect), ("--baseline", baseline), ("--deviation", deviation)):
        if value is not None and not 0 < value < math.inf:
            raise Invalid(f"{option} {value:g}: expected a number above 0")
    given = share or [0.5]
    if interleave and share:
        raise Invalid("--share: interleaved lists have products of both arms; leave it out")
    arms = [
        {"name": f"arm-{number}", "share": each, "variant": Variant()}
        for number, each in enumerate([1 - sum(given), *given])
    ]
    with unit_of_work() as session:
        measurement = read_measurement(session)
    # the same bounds as at the start
    design = ExperimentDesign.of(arms=arms, metric=metric, days=days, outcome_days=min(7.0, days))
    sample = plan_sample(
        measurement,
        design.metric,
        list(design.shares.values()),
        days=days,
        effect_percent=effect,
        baseline=baseline,
        deviation=deviation,
        kind="interleaved" if interleave else "arms",
    )
    if as_json:
        _print_json(sample.model_dump(mode="json"))
    elif sample.needed is None and baseline is not None:
        raise Invalid(sample.explanation)
    elif sample.needed is None:
        typer.echo(sample.explanation)
    else:
        brings = (
            "how many come is not measured yet"
            if sample.expected is None
            else f"{days:g} days bring about {sample.expected:,}"
        )
        people = "visitors are needed" if interleave else "users are needed in all arms together"
        typer.echo(f"{sample.needed:,} {people}; {brings}.")


@app.command(
    epilog="Examples: recsys serve ab-test start als-against-knn --challenger als-v4 --share 0.2 --days 28 "
    '--reason "better offline, fewer bestsellers"; or several arms: --arm als:0.3:model=als-v4 '
    "--arm varied:0.3:diversity=0.3 --arm bare:0.1:rules=off --guardrail bought=0.1; or interleaved: "
    "--challenger als-v4 --interleave --metric clicked"
)
def start(
    name: Name,
    reason: Annotated[str, typer.Option(help="Purpose of the test; stored with it.")],
    challenger: Annotated[
        str | None, typer.Option(help="The registered model to test, such as als-v4: short for one --arm.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of the visitors who get the challenger's lists, between 0 and 1.")
    ] = 0.5,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="An arm as NAME:SHARE:SETTINGS, up to seven; settings are model=, rules=off, rule_set=, "
            "diversity=, novelty=any|new and live=on, separated by commas. The control has the others."
        ),
    ] = None,
    placement: Annotated[
        list[str] | None,
        typer.Option(help="Placement where the arms differ; repeat it. Default: all that they concern."),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Who keeps an arm: user (guests: their session), or session.")
    ] = "user",
    days: Days = 28.0,
    outcome_days: Annotated[
        float, typer.Option(help="Days since a visitor's first list in which interactions count.")
    ] = 7.0,
    metric: Metric = "bought",
    planned_users: Annotated[
        int, typer.Option(help="Users that the plan expects: intervals are narrowest there.")
    ] = 10_000,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=DROP, such as bought=0.1: an arm that is certainly worse stops the test."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="late=SHARE, p99=MILLISECONDS or fallback=SHARE, such as late=0.01: an arm whose lists of "
            "the last hour are certainly beyond it, while the control's are not, stops the test."
        ),
    ] = None,
    live_control: Annotated[
        bool,
        typer.Option(
            "--live-control",
            help="With --challenger: rank both arms' lists on request, under the same conditions, at the "
            "price of slower responses.",
        ),
    ] = False,
    interleave: Annotated[
        bool,
        typer.Option(
            "--interleave",
            help="Give the visitors lists of both arms' products, and compare what they choose: needs "
            "several times fewer visitors.",
        ),
    ] = False,
    traffic: Annotated[
        float, typer.Option(help="With --interleave: share of the visitors with such lists, up to 1.")
    ] = 1.0,
    credit: Annotated[
        str, typer.Option(help="With --interleave: what a success counts, optimised or team_draft.")
    ] = "optimised",
    as_json: AsJson = False,
) -> None:
    """Start a test: running servers use it within seconds. Each placement is in one test at a time."""
    from models.registry.experiments import start_experiment
    from recsys.domains.recommendations.ab_tests.design import (
        ExperimentDesign,
        Variant,
        arms_of,
        interleaved_arms,
        model_against_control,
    )

    if (challenger is None) == (not arm):
        raise Invalid("give either --challenger with its --share, or one --arm or more")
    if challenger is None:
        arms = arms_of(arm or [])
    elif interleave:
        arms = interleaved_arms(Variant(model=challenger))
    else:
        arms = model_against_control(challenger, share, live_control=live_control)
    design = ExperimentDesign.of(
        kind="interleaved" if interleave else "arms",
        credit=credit,
        traffic=traffic,
        arms=arms,
        metric=metric,
        unit=unit,
        placements=placement or [],
        days=days,
        outcome_days=min(outcome_days, days),
        planned_units=planned_users,
        guardrails=[_guardrail(each) for each in guardrail or []],
        limits=_limits(limit or []),
    )
    plain = _plain(start_experiment(name, design, actor=command_user(), reason=reason))
    outside = _outside(design)
    if as_json:
        _print_json(plain | {"outside": [each.model_dump(mode="json") for each in outside]})
        return
    if interleave:
        words = (
            f"lists of both {plain['control']} and {design.arms[1].variant} for {traffic:.0%} of the visitors"
        )
    else:
        words = ", ".join(f"{each.name} {each.share:.0%} ({each.variant})" for each in design.arms)
    typer.echo(
        f"{name} runs: {words}; the control is {plain['control']}. How it goes: recsys train live. End it: "
        f"recsys serve ab-test stop {name} --reason …"
    )
    for each in outside:
        typer.echo(f"warning: {each}", err=True)


@app.command(
    epilog='Example: recsys serve ab-test stop als-against-knn --reason "als-v4 sold more: promoting it"'
)
def stop(
    name: Name,
    reason: Annotated[str, typer.Option(help="Conclusion of the test; stored with it.")],
    as_json: AsJson = False,
) -> None:
    """Stop a test: the active model serves all visitors again within seconds, without a restart."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        plain = _plain(ab_tests.stop(session, name, actor=command_user(), conclusion=reason.strip()))
    if as_json:
        _print_json(plain)
        return
    typer.echo(f"{name} is stopped; {plain['control']} answers everybody.")


@app.command(epilog='Example: recsys serve ab-test keep als-against-knn challenger --reason "it sold more"')
def keep(
    name: Name,
    arm: Annotated[str, typer.Argument(help="The arm to keep.")],
    reason: Annotated[str, typer.Option(help="Conclusion of the test; stored with it.")],
    as_json: AsJson = False,
) -> None:
    """End a test and keep an arm: its model serves everybody, and the test records the winner."""
    from models.registry.experiments import keep_arm
    from recsys.domains.recommendations.ab_tests.service import design_of

    row, model = keep_arm(name, arm, actor=command_user(), reason=reason.strip())
    kept = design_of(row).arm(arm)
    if as_json:
        _print_json(_plain(row) | {"serving": model or row.control})
    elif model is None:
        typer.echo(
            f"{name} is stopped and {arm} recorded; its settings are for requests and rules to follow."
        )
    else:
        typer.echo(f"{name} is stopped, and {model} serves everybody.")
    if kept is not None and kept.variant.rule_set is not None and not as_json:
        typer.echo(
            "Its rules still hold for nobody. To apply them to everybody: recsys serve rules release "
            f"{kept.variant.rule_set}"
        )


@app.command(epilog="Example: recsys serve ab-test show als-against-knn --json")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a test's design, the lists that each arm got, and the last measurement of it."""
    from dataclasses import asdict

    from models.registry.measurement import read_measurement
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        measurement = read_measurement(session)
        row = ab_tests.get(session, name)
        design = ab_tests.design_of(row)
        answered = ab_tests.answered(session, row)
        plain = _plain(row)
    measured = None if measurement is None else measurement.test(name)
    outside = _outside(design) if plain["state"] == "running" else []
    if as_json:
        given = {
            "outside": [each.model_dump(mode="json") for each in outside],
            "answered": {arm: asdict(count) for arm, count in answered.items()},
            "measured": None if measured is None else measured.model_dump(mode="json"),
        }
        _print_json(plain | given)
        return
    for key, value in plain.items():
        if key != "design" and value is not None:
            typer.echo(f"{key:13}{value}")
    for each in design.arms:
        count = answered[each.name]  # of interleaved lists the same for both
        typer.echo(
            f"{each.name:13}{each.share:.0%}, {each.variant}: {count.lists:,} lists for {count.users:,} "
            f"users and {count.guests:,} guests, {count.fallbacks:,} by another model, {count.late:,} late, "
            f"99% within {'–' if count.p99_ms is None else format(count.p99_ms, '.0f')} ms"
        )
    if measured is not None:
        typer.echo(f"{'verdict':13}{measured.reason}")
    for lists in outside:
        typer.echo(f"{'outside':13}{lists}")


@app.command("list", epilog="Example: recsys serve ab-test list")
def list_(as_json: AsJson = False) -> None:
    """List all tests, newest first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests import service as ab_tests

    with unit_of_work() as session:
        rows = [(_plain(row), ab_tests.design_of(row)) for row in ab_tests.listed(session)]
    if as_json:
        _print_json([row for row, _ in rows])
        return
    if not rows:
        typer.echo("No A/B test was started yet.")
        return
    table = Table(box=None, padding=(0, 1))
    for column in ("name", "state", "control", "arms", "started", "ended", "winner", "conclusion"):
        table.add_column(column, overflow="fold", no_wrap=column not in ("arms", "conclusion"))
    for row, design in rows:
        table.add_row(
            *(escape(str(row[key])) for key in ("name", "state", "control")),
            escape("; ".join(f"{each.name} {each.share:.0%} {each.variant}" for each in design.treatments)),
            row["started_at"][:16],
            (row["ended_at"] or "–")[:16],
            row["winner"] or "–",
            escape(row["conclusion"] or "–"),
        )
    Console().print(table)


def _guardrail(written: str) -> dict[str, str]:
    metric, equals, drop = written.partition("=")
    if not equals:
        raise Invalid(f"--guardrail {written!r}: expected METRIC=DROP, such as bought=0.1")
    return {"metric": metric, "largest_drop": drop}


def _limits(written: list[str]) -> dict[str, str] | None:
    names = {"late": "late_share", "p99": "p99_ms", "fallback": "fallback_share"}
    limits: dict[str, str] = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not equals or name not in names:
            raise Invalid(
                f"--limit {each!r}: expected late=SHARE, p99=MILLISECONDS or fallback=SHARE, such as "
                "late=0.01"
            )
        limits[names[name]] = value
    return limits or None


def _outside(design: ExperimentDesign) -> list[OutsideLists]:
    from recsys import clock
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.ab_tests.outside import lists_outside

    with unit_of_work() as session:
        return lists_outside(session, design, clock.now())


def _plain(row: AbTest) -> dict[str, Any]:
    from recsys.domains.recommendations.ab_tests.service import design_of

    plain_row: dict[str, Any] = {}
    for column in row.__table__.columns:
        if column.key not in _HIDDEN:
            value = getattr(row, column.key)
            plain_row[column.key] = (
                value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value
            )
    return plain_row | {"design": design_of(row).model_dump(mode="json")}


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
