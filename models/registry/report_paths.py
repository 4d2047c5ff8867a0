"""Where the report of a registered model lies: always inside `var/reports`, whatever the row says.

With a store of artifacts beside var, a report is fetched from it when its path is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from models.registry.registry import RegisteredModel
from recsys.artifacts.store import artifact_store
from recsys.errors import NotFound
from recsys.settings import get_settings

__all__ = ["publish_report", "report_path"]


def report_path(model: RegisteredModel, kind: Literal["html", "json"] = "html") -> Path:
    """The path of the page or of its JSON twin; the file may be missing.

    Raises
    ------
    NotFound
        When the row names none, or a path that leads out of `var/reports`, through links too.
    Unavailable
        Where the report is in a store that is away.
    Invalid
        Where it is damaged there.
    """
    kept = model.parameters.get("report" if kind == "html" else "report_json")
    if not isinstance(kept, str) or not kept or "\0" in kept:
        raise NotFound(f"{model.name} was registered without a report; train again to get one")
    folder = (get_settings().var / "reports").resolve()
    path = (get_settings().var / kept).resolve()
    if not path.is_relative_to(folder) or path.suffix != f".{kind}":
        raise NotFound(f"the report that the registry names for {model.name} is not among the reports")
    store = artifact_store()
    if store.is_shared:
        store.fetch_if_there(path.relative_to(folder.parent).as_posix())
    return path


def publish_report(folder: Path) -> None:
    """Make a run's page, its JSON twin and its figures readable for every host, as far as they are there."""
    store, top = artifact_store(), get_settings().var.resolve()
    for path in (folder / "report.json", folder / "figures", folder / "report.html"):
        if path.exists():
            store.publish(path.resolve().relative_to(top).as_posix(), patient=True)
