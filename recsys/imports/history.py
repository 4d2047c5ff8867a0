"""The history of imports, from which `/metrics`, alerts and the console know how the last ones ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.errors import RecsysError
from recsys.imports.report import ImportReport
from recsys.imports.tables import ImportRun
from recsys.log import get_logger

__all__ = ["latest_imports", "recorded"]

_log = get_logger(__name__)


def latest_imports(session: Session, limit: int) -> Sequence[ImportRun]:
    """The imports that ended last, the newest first."""
    return session.scalars(select(ImportRun).order_by(ImportRun.id.desc()).limit(limit)).all()


def recorded(source: str, run: Callable[[], ImportReport]) -> ImportReport:
    """Import by `run` and note how it ended; its errors are raised after that."""
    started_at = clock.now()
    try:
        report = run()
    except BaseException:
        _note(source, started_at, None)
        raise
    _note(source, started_at, report)
    return report


def _note(source: str, started_at: datetime, report: ImportReport | None) -> None:
    # what follows from the rows, such as brands of products, was not read
    tables = [] if report is None else [counts for counts in report.tables.values() if counts.read]
    row = ImportRun(
        source=source,
        state="failed" if report is None or report.nothing_taken else "done",
        started_at=started_at,
        ended_at=clock.now(),
        read_rows=sum(counts.read for counts in tables),
        stored_rows=sum(counts.added + counts.updated for counts in tables),
        refused_rows=0 if report is None else report.refusals.total,
    )
    try:
        with unit_of_work() as session:
            session.add(row)
    except (RecsysError, SQLAlchemyError) as error:
        # the import itself is finished: what it stored stays, and its own error matters more
        _log.warning("the end of the import could not be noted", error=str(error).partition("\n")[0])
