"""Where the report of a registered model lies: always inside `var/reports`, whatever the row says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from models.registry.registry import RegisteredModel
from recsys.errors import NotFound
from recsys.settings import get_settings

__all__ = ["report_path"]


def report_path(model: RegisteredModel, kind: Literal["html", "json"] = "html") -> Path:
    """The path of the page or of its JSON twin; the file may be missing.

    Raises NotFound when the row names none, or a path that leads out of `var/reports`, through links too.
    """
    kept = model.parameters.get("report" if kind == "html" else "report_json")
    if not isinstance(kept, str) or not kept or "\0" in kept:
        raise NotFound(f"{model.name} was registered without a report; train again to get one")
    folder = (get_settings().var / "reports").resolve()
    path = (get_settings().var / kept).resolve()
    if not path.is_relative_to(folder) or path.suffix != f".{kind}":
        raise NotFound(f"the report that the registry names for {model.name} is not among the reports")
    return path
