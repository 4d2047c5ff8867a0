"""`recsys train report`: where the report of a model is; drawn again from its JSON twin where it is lost."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import Invalid, NotFound, Unavailable
from training.commands.console import AsJson, Name, print_json, registered

__all__ = ["app"]

app = typer.Typer()


@app.command()
def report(
    name: Name,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Draw it again from its JSON twin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the path of the report of the run that made this model; a lost page is drawn again.

    Example: recsys train report als-v3 --open
    """
    from models.registry.report_paths import report_path

    model = registered(name)
    page, document = report_path(model, "html"), report_path(model, "json")
    drawn = rebuild or not page.is_file()
    if drawn:
        _draw(name, document, page)
    if show and not webbrowser.open(page.as_uri()):
        raise Unavailable(f"no browser could be started here; open {page} by hand")
    if as_json:
        print_json({"name": name, "html": str(page), "json": str(document), "rebuilt": drawn})
    else:
        typer.echo(page)


@app.command("report-schema")
def report_schema() -> None:
    """Print the JSON Schema of `report.json`, every field in words.

    Example: recsys train report-schema > report.schema.json
    """
    from training.report.document import EvaluationReport

    print_json(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **EvaluationReport.model_json_schema()}
    )


def _draw(name: str, document: Path, page: Path) -> None:
    from pydantic import ValidationError

    from models.registry.report_paths import publish_report
    from training.report.document import EvaluationReport
    from training.report.page import write_page

    try:
        text = document.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"the report of {name} can't be drawn: its JSON twin is no longer at {document}; "
            "train again to write a new one"
        ) from error
    try:
        found = EvaluationReport.model_validate_json(text)
    except ValidationError as error:
        raise Invalid(
            f"{document} is damaged or of another version ({error.error_count()} parts are not as expected); "
            "restore it or train again"
        ) from error
    write_page(found, page)
    publish_report(page.parent)
