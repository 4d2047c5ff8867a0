"""Data: imports with refused rows, coverage of the catalogue, newest events, drift, and repeat purchases."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import Path as PathParameter
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.responses import FileResponse

from recsys.database.session import unit_of_work
from recsys.domains.products.listing import coverage
from recsys.domains.recommendations.interactions.history import newest_interactions
from recsys.domains.users import administration
from recsys.errors import NotFound, Unavailable
from recsys.imports.history import latest_imports
from recsys.imports.tables import ImportRun
from recsys.settings import get_settings
from recsys.write_buffer.refused_events import refused_events
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Administrator, Viewer
from serving.console.attention import examiner_of
from serving.console.rendering import TEMPLATES, screen_router
from serving.recommender.recommender import Recommender

__all__ = ["DataContent", "router"]

router = screen_router("data")
MAX_FILES = 20
MAX_ROWS = 100_000
MAX_REASONS = 8
MAX_EVENTS = 25
MAX_CATEGORIES = 25
_SUFFIX = "-refused.csv"


class RefusedReason(BaseModel):
    """How many rows were refused for one reason."""

    reason: str
    rows: int


class RefusedFile(BaseModel):
    """The refused rows of one import.

    Attributes
    ----------
    is_cut
        Only the first rows were counted.
    """

    name: str
    written_at: datetime
    rows: int
    is_cut: bool
    reasons: list[RefusedReason]


class ImportRow(BaseModel):
    """One import.

    Attributes
    ----------
    source
        Such as csv; None of a file of refused rows that belongs to no known import.
    refused_file
        Its refused rows, where they lie on this server.
    """

    ended_at: datetime
    source: str | None = None
    state: str | None = None
    seconds: float | None = None
    read: int | None = None
    stored: int | None = None
    refused: int
    refused_file: RefusedFile | None = None


class MissingField(BaseModel):
    """How many active products lack something, and some of them."""

    name: str
    products: int
    share: float
    examples: list[tuple[int, str]]


class NewEvent(BaseModel):
    """One interaction that was stored lately."""

    type: str
    user_id: int | None
    user_name: str | None
    product_id: int
    name: str
    moment: datetime | None


class RefusedEventsRow(BaseModel):
    """How many events that programs and pages sent were refused for one reason."""

    kind: str
    reason: str
    events: int


class PartFinding(BaseModel):
    """What `recsys doctor` finds about one part of the data.

    Attributes
    ----------
    remedy
        The command that mends it.
    """

    part: str
    state: str
    text: str
    remedy: str | None


class CategoryRepeats(BaseModel):
    """Whether products of a category may be recommended again after a purchase."""

    name: str
    products: int
    repeats: bool


class DataContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    refused_events
        Of the last days; None while Redis is away.
    findings
        None until they are known.
    repeating
        How many products may be recommended again after a purchase.
    """

    imports: list[ImportRow]
    products: int
    missing: list[MissingField]
    events: list[NewEvent]
    refused_events: list[RefusedEventsRow] | None
    findings: list[PartFinding] | None
    repeating: int
    categories: list[CategoryRepeats]


@router.get("")
async def data(request: Request, user: Viewer) -> Response:
    """The state of the data."""
    recommender: Recommender = request.app.state.recommender
    content = await run_in_threadpool(_content, recommender.data.catalogue)
    findings, _ = examiner_of(request.app).last()
    if findings is not None:
        content.findings = [
            PartFinding(part=each.part, state=each.state, text=each.found, remedy=each.remedy)
            for each in findings
            if each.part in ("features", "write buffer", "recommendations")
        ]
    return TEMPLATES.page(request, "console/data.html.j2", content)


@router.get("/refused/{name}")
def refused_rows(
    user: Administrator,
    name: Annotated[str, PathParameter(pattern=r"^[0-9T]{8,40}-refused\.csv$")],
) -> FileResponse:
    """The refused rows of one import as CSV; they may hold personal data."""
    path = _folder() / name
    if not path.is_file():
        raise NotFound("The file of refused rows is no longer there.")
    return FileResponse(path, media_type="text/csv", filename=name, headers={"Cache-Control": "no-store"})


def _content(catalogue: Catalogue) -> DataContent:
    with unit_of_work() as session:
        total, missing = coverage(session)
        runs = latest_imports(session, MAX_FILES)
        newest = newest_interactions(session, MAX_EVENTS)
        people = administration.names_of(session, {row.user_id for row in newest if row.user_id})
        events = [
            NewEvent(
                type=row.interaction_type,
                user_id=row.user_id,
                user_name=None if row.user_id is None else people.get(row.user_id),
                product_id=row.product_id,
                name=catalogue.name(row.product_id) or f"product {row.product_id}",
                moment=row.created_at,
            )
            for row in newest
        ]
    repeats = catalogue.repeats & catalogue.shown
    return DataContent(
        imports=_imports(runs, _refused_files()),
        products=total,
        missing=[
            MissingField(
                name=name,
                products=count,
                share=count / total if total else 0.0,
                examples=[(product, catalogue.name(product) or f"product {product}") for product in examples],
            )
            for name, (count, examples) in missing.items()
        ],
        events=events,
        refused_events=_refused_events(),
        findings=None,
        repeating=int(repeats.sum()),
        categories=_categories(catalogue),
    )


def _refused_events() -> list[RefusedEventsRow] | None:
    try:
        found = refused_events()
    except (RedisError, OSError, Unavailable):
        return None
    return [
        RefusedEventsRow(kind=each.kind, reason=each.reason, events=each.events)
        for each in found[:MAX_EVENTS]
    ]


def _imports(runs: Sequence[ImportRun], files: Sequence[RefusedFile]) -> list[ImportRow]:
    """The imports, newest first, each with its refused rows; and files that belong to none of them."""
    rows, left = [], list(files)
    for run in reversed(runs):
        # a file is named by the moment at which its import was called, just before it starts
        begin = run.started_at - timedelta(seconds=5)
        fitting = (each for each in left if begin <= _called_at(each) <= run.ended_at)
        file = next(fitting, None) if run.refused_rows else None
        if file is not None:
            left.remove(file)
        rows.append(
            ImportRow(
                ended_at=run.ended_at,
                source=run.source,
                state=run.state,
                seconds=(run.ended_at - run.started_at).total_seconds(),
                read=run.read_rows,
                stored=run.stored_rows,
                refused=run.refused_rows,
                refused_file=file,
            )
        )
    rows += [ImportRow(ended_at=file.written_at, refused=file.rows, refused_file=file) for file in left]
    return sorted(rows, key=lambda row: row.ended_at, reverse=True)


def _called_at(file: RefusedFile) -> datetime:
    try:
        return datetime.strptime(f"{file.name.removesuffix(_SUFFIX)}+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return file.written_at


def _folder() -> Path:
    return get_settings().var / "imports"


def _refused_files() -> list[RefusedFile]:
    folder = _folder()
    paths = sorted(folder.glob(f"*{_SUFFIX}"), reverse=True)[:MAX_FILES] if folder.is_dir() else []
    return [_summary(path, path.stat().st_mtime_ns) for path in paths]


@lru_cache(maxsize=2 * MAX_FILES)
def _summary(path: Path, written_ns: int) -> RefusedFile:
    """Count the first rows of a file by reason; once for each time at which it was written."""
    reasons: Counter[str] = Counter()
    csv.field_size_limit(2**31 - 1)
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.DictReader(stream):
            if reasons.total() == MAX_ROWS:
                break
            reasons[row.get("reason") or "unknown"] += 1
    written = datetime.fromtimestamp(written_ns / 1e9, UTC)
    return RefusedFile(
        name=path.name,
        written_at=written,
        rows=reasons.total(),
        is_cut=reasons.total() == MAX_ROWS,
        reasons=[RefusedReason(reason=text, rows=count) for text, count in reasons.most_common(MAX_REASONS)],
    )


def _categories(catalogue: Catalogue) -> list[CategoryRepeats]:
    """The categories with the most products on sale."""
    sold = np.flatnonzero(catalogue.shown & (catalogue.category >= 0))
    numbers, first, counts = np.unique(catalogue.category[sold], return_index=True, return_counts=True)
    rows = []
    for place in np.argsort(-counts, kind="stable")[:MAX_CATEGORIES].tolist():
        row = int(sold[first[place]])
        summary = catalogue.summaries.get(int(catalogue.ids[row]))
        name = None if summary is None else summary.details.category
        rows.append(
            CategoryRepeats(
                name=name or f"category {numbers[place]}",
                products=int(counts[place]),
                repeats=bool(catalogue.repeats[row]),
            )
        )
    return rows
