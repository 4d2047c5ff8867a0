"""`recsys privacy`: erases people, exports what is kept of them, and keeps retention periods."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recsys.privacy.receipts import ErasureReceipt

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Erase people, export what is kept of them, and delete what is old."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
User = Annotated[str, typer.Argument(help="Number of the user, or username:NAME.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write.")]


@app.command("erase", epilog="Example: recsys privacy erase username:ada --out receipt.json")
def erase_user(
    user: User,
    out: Out = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Then train all models and make all lists again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what is there; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person from every table, key, index and file; print the signed receipt.

    Orders and payments stay without the person. Erasing again is harmless.
    """
    from recsys.own_ids.commands import number_of
    from recsys.own_ids.scheme import IdKind
    from recsys.privacy import erasure

    user_id = number_of(IdKind.USER, user)
    if dry_run:
        counts = {each.place: each.count for each in erasure.preview(user_id)}
        if as_json:
            typer.echo(json.dumps(counts, indent=1))
        else:
            _show_counts(counts)
        return
    receipt = erasure.erase(user_id, by=None, requested_by="command")
    document = receipt.model_dump_json(indent=1)
    if out is not None:
        out.write_text(document + "\n", encoding="utf-8")
    if as_json:
        typer.echo(document)
    else:
        _show_receipt(receipt, out)
    if retrain:
        _retrain()


@app.command("export", epilog="Example: recsys privacy export 5 --out user-5.zip")
def export_user(user: User, out: Out = None) -> None:
    """Write everything that is kept of a person as a ZIP of JSON files, one for each place."""
    from recsys.own_ids.commands import number_of
    from recsys.own_ids.scheme import IdKind
    from recsys.privacy.export import spooled_zip

    user_id = number_of(IdKind.USER, user)
    path = out or Path(f"user-{user_id}.zip")
    with spooled_zip(user_id) as content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    typer.echo(f"{path} written, {path.stat().st_size:,} bytes")


@app.command("verify-receipt", epilog="Example: recsys privacy verify-receipt receipt.json")
def verify_receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What an erasure answered.")],
    user: Annotated[
        str | None, typer.Option(help="Also check that it is about the user of this number.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a receipt is as this shop signed it; ends with 2 when it is not."""
    from recsys.errors import Invalid
    from recsys.privacy.receipts import person_reference, verify

    receipt = verify(file.read_bytes())
    if user is not None:
        if not user.isascii() or not user.isdigit():
            raise Invalid(f"{user!r} is no number of a user; an erased user has no username any more")
        if person_reference(int(user)) != receipt.person:
            raise Invalid(f"the receipt is genuine, but not about user {user}")
    if as_json:
        typer.echo(receipt.model_dump_json(indent=1))
    else:
        typer.echo(f"genuine: erased at {receipt.erased_at:%Y-%m-%d %H:%M} UTC by {receipt.requested_by}")


@app.command("models", epilog="Example: recsys privacy models")
def list_models(as_json: AsJson = False) -> None:
    """List the models that learned from erased people, and the date by which each is to be replaced."""
    from recsys.database.session import unit_of_work
    from recsys.privacy import trained_models

    with unit_of_work() as session:
        models = trained_models.marked(session)
    rows = [
        {
            "name": each.name,
            "retrain_by": each.retrain_by.isoformat(),
            "is_active": each.is_active,
            "is_replaced": each.is_replaced,
        }
        for each in models
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        state = "serves" if row["is_active"] else "is replaced" if row["is_replaced"] else "does not serve"
        typer.echo(f"{row['name']} {state}; to be trained again by {row['retrain_by']}")
    if not rows:
        typer.echo("no model learned from an erased person")


@app.command("retention", epilog="Example: recsys privacy retention --dry-run")
def keep_retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be deleted; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete rows that are older than the settings keep them, and models that were replaced."""
    from dataclasses import asdict

    from recsys.database.session import unit_of_work
    from recsys.privacy import retention, trained_models

    counts = retention.count() if dry_run else retention.apply()
    with unit_of_work() as session:
        if dry_run:
            models = [each.name for each in trained_models.marked(session) if each.is_replaced]
        else:
            models = list(trained_models.delete_replaced(session))
    if as_json:
        typer.echo(json.dumps({"tables": [asdict(each) for each in counts], "models": models}, indent=1))
        return
    for each in counts:
        rows = "all are kept" if each.rows is None else f"{each.rows:,}"
        days = "" if each.days is None else f"{each.days:g} days"
        typer.echo(f"{rows:>14}  {each.table:<46} {days:<12} RECSYS_{each.setting}")
    verb = "would be deleted" if dry_run else "deleted"
    typer.echo(f"{sum(each.rows or 0 for each in counts):,} rows and {len(models)} models {verb}")


def _retrain() -> None:
    """Train and score, as the jobs do, and delete what was replaced."""
    from recsys.database.session import unit_of_work
    from recsys.errors import Unavailable
    from recsys.privacy import trained_models
    from recsys.processes.starting import command_environment, command_line

    for arguments in (("train", "run", "--all", "--rebuild"), ("serve", "score")):
        done = subprocess.run(command_line(arguments), env=command_environment({}), check=False)
        if done.returncode:
            raise Unavailable(
                f"the person is erased, but `recsys {' '.join(arguments)}` failed with {done.returncode}; "
                "run it again"
            )
    with unit_of_work() as session:
        deleted = trained_models.delete_replaced(session)
        left = [each.name for each in trained_models.marked(session)]
    typer.echo(f"{len(deleted)} models that learned from the person are deleted", err=True)
    if left:
        typer.echo(f"still to be replaced: {', '.join(left)} (`recsys privacy models`)", err=True)


def _show_counts(counts: dict[str, int]) -> None:
    for place, count in counts.items():
        if count:
            typer.echo(f"{count:>8,}  {place}")
    typer.echo(f"{sum(counts.values()):>8,}  in {len(counts)} places")


def _show_receipt(receipt: ErasureReceipt, out: Path | None) -> None:
    _show_counts({each.place: each.count for each in receipt.places})
    for model in receipt.models:
        typer.echo(f"{model.name} learned from the person: train again by {model.retrain_by:%Y-%m-%d}")
    for note in receipt.notes:
        typer.echo(f"note: {note}", err=True)
    if out is None:
        typer.echo("the signed receipt is printed by --json and written by --out", err=True)
    else:
        typer.echo(f"receipt {receipt.receipt} written to {out}")
