"""`recsys serve rules`: business rules, and the sets of rules that experiments compare."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.processes.user import command_user

if TYPE_CHECKING:
    from recsys.domains.recommendations.rules.schemas import RuleOut

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Business rules, and sets of rules as arms of experiments (docs/rules.md).",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
_MOST = 1_000


@app.command("list", epilog="Example: recsys serve rules list --set winter")
def list_(
    rule_set: Annotated[str | None, typer.Option("--set", help="Only rules of this set.")] = None,
    as_json: AsJson = False,
) -> None:
    """List rules, newest first, at most 1,000."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.rules import service as rules

    with unit_of_work() as session:
        rows = [rules.shown(row) for row in rules.listed(session, limit=_MOST, rule_set=rule_set)]
    if as_json:
        _print_json([_plain(rule) for rule in rows])
        return
    for rule in rows:
        where = ", ".join([*(rule.shelves or ()), *(rule.placements or ())]) or "everywhere"
        whom = "everybody" if rule.segment is None else rule.segment
        whom += "" if rule.rule_set is None else f", set {rule.rule_set}"
        state = "" if rule.enabled else ", disabled"
        typer.echo(f"{rule.id:6}  {rule.name}: {rule.kind.value}, {where}, {whom}{state}")
    if not rows:
        typer.echo("No business rule." if rule_set is None else f"No business rule is of the set {rule_set}.")


@app.command(epilog="Example: recsys serve rules sets --json")
def sets(as_json: AsJson = False) -> None:
    """List the sets of rules, and the experiments that compare them."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.rules import service as rules

    with unit_of_work() as session:
        found = rules.rule_sets(session)
    if as_json:
        _print_json([each.model_dump(mode="json") for each in found])
        return
    for each in found:
        compared = f", compared by {', '.join(each.experiments)}" if each.experiments else ""
        typer.echo(f"{each.name}: {each.rules} rules, {each.enabled} enabled{compared}")
    if not found:
        typer.echo("No rule is of a set. Put one into a set: recsys serve rules move RULE --set NAME")


@app.command(epilog="Example: recsys serve rules move 12 --set winter; back again: --everybody")
def move(
    rule: Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="Number of the rule.")],
    rule_set: Annotated[
        str | None, typer.Option("--set", help="Set of the rule: it holds in arms that name the set.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="The rule holds for everybody, as rules do by default.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a rule into a set, or let it hold for everybody; the change is recorded."""
    from pydantic import ValidationError

    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.rules import service as rules
    from recsys.domains.recommendations.rules.schemas import RuleIn
    from recsys.errors import Invalid

    if everybody == (rule_set is not None):
        raise Invalid("give either --set NAME or --everybody")
    with unit_of_work() as session:
        now = rules.shown(rules.get(session, rule))
        values = now.model_dump(include=set(RuleIn.model_fields)) | {"rule_set": rule_set}
        try:
            given = RuleIn.model_validate(values)
        except ValidationError as error:
            raise Invalid(
                f"--set {rule_set!r}: expected 1 to 40 of a-z, 0-9, dash and underscore, such as winter"
            ) from error
        changed = rules.shown(rules.replace(session, rule, given, version=now.version, actor=command_user()))
    if as_json:
        _print_json(_plain(changed))
    elif rule_set is None:
        typer.echo(f"“{changed.name}” holds for everybody.")
    else:
        typer.echo(f"“{changed.name}” holds only in arms with the set {rule_set}.")


@app.command(epilog="Example: recsys serve rules release winter")
def release(
    rule_set: Annotated[str, typer.Argument(metavar="SET", help="Name of the set.")],
    as_json: AsJson = False,
) -> None:
    """Apply the rules of a set to everybody, such as after an experiment that they won."""
    from recsys.database.session import unit_of_work
    from recsys.domains.recommendations.rules import service as rules

    with unit_of_work() as session:
        released = rules.release_set(session, rule_set, actor=command_user())
        shown = [rules.shown(row) for row in released]
    if as_json:
        _print_json([_plain(rule) for rule in shown])
        return
    for rule in shown:
        typer.echo(f"“{rule.name}” holds for everybody{'' if rule.enabled else ', but is disabled'}.")


def _plain(rule: RuleOut) -> dict[str, object]:
    return rule.model_dump(mode="json", warnings=False, exclude={"target_own_ids"})


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
