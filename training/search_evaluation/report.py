"""What was measured of search goes into the report of the model it was measured with."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from models.registry.registry import RegisteredModel
from models.registry.report_paths import publish_report, report_path
from recsys.errors import Invalid, NotFound
from training.report.document import EvaluationReport
from training.report.page import write_report
from training.report.search_section import SearchSection

__all__ = ["keep"]


def keep(registered: RegisteredModel, section: SearchSection) -> Path:
    """Write the section in place of an earlier one of the same model, and draw the page again.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    NotFound
        Where the model's report is gone.
    Invalid
        Where it is damaged.
    """
    document = report_path(registered, "json")
    try:
        report = EvaluationReport.model_validate_json(document.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            f"the report of {registered.name} is no longer at {document}, so the figures of search could not "
            "be kept; train again to write a new one"
        ) from error
    except ValidationError as error:
        raise Invalid(
            f"{document} is damaged or of another version ({error.error_count()} parts are not as expected), "
            "so the figures of search could not be kept; restore it or train again"
        ) from error
    others = [one for one in report.search if one.model != section.model]
    kept = sorted([*others, section], key=lambda one: one.model)
    page, _ = write_report(report.model_copy(update={"search": kept}), document.parent)
    publish_report(document.parent)
    return page
