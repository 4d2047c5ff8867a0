"""Models: what is registered, how it was judged, what serves; promote, hold, roll back, train."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import FileResponse

from models.registry import registry, switching
from models.registry.registry import RegisteredModel
from models.registry.report_paths import report_path
from recsys.database.session import unit_of_work
from recsys.errors import Conflict, NotFound
from recsys.jobs import service as jobs
from serving.console.access import Operator, Viewer
from serving.console.rendering import TEMPLATES, screen_router
from serving.console.screens.jobs import RunSummary, run_summary
from serving.pages.forms import SubmittedForm, redirect, submitted

__all__ = ["ModelContent", "ModelsContent", "router"]

router = screen_router("models")
Name = Annotated[str, Path(max_length=100)]
METRIC_NAMES = {
    "ndcg": "NDCG: how high the products stand that were taken",
    "map": "MAP: mean average precision",
    "mrr": "MRR: how high the first product stands that was taken",
    "recall": "Recall: share of what was taken that is listed",
    "precision": "Precision: share of the list that was taken",
    "hit_rate": "Hit rate: lists with a product that was taken",
    "coverage": "Coverage: share of the catalogue that is listed",
}
GUARDRAIL_NAMES = {
    "coverage": "share of the catalogue that is listed",
    "popularity_share": "share of the most popular products in a list",
    "empty_rate": "share of customers without a list",
    "scoring_ms": "milliseconds to rank for 1,000 customers",
}
QUESTIONS = {"all": "Any product", "new": "New to the customer"}
"""The questions of the evaluation, by their names in the registry."""
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
_MOST_HISTORY = 30


class Interval(BaseModel):
    """A figure of the evaluation with its 95% interval.

    Attributes
    ----------
    k
        Length of the lists.
    """

    question: str
    value: float
    low: float
    high: float
    k: int


class ModelRow(BaseModel):
    """One version.

    Attributes
    ----------
    gate
        What the rule decided, promote, refresh or hold; None for models without it.
    """

    name: str
    algorithm: str
    trained_at: datetime
    serves: bool
    gate: str | None
    gate_reason: str | None
    held_by_hand: bool
    ndcg: list[Interval]
    has_report: bool
    run: str | None


class PromotionRow(BaseModel):
    """One line of the history."""

    at: datetime
    actor: str
    action: str
    from_name: str | None
    to_name: str
    reason: str


class ModelsContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    rollback_to
        The model that served before; None without one.
    """

    active: str | None
    rollback_to: str | None
    show: str
    models: list[ModelRow]
    registered: int
    top: float
    training: RunSummary | None
    trainings: list[RunSummary]
    history: list[PromotionRow]


class GuardrailRow(BaseModel):
    """One limit of the gate."""

    name: str
    value: float | None
    limit: float
    at_least: bool
    ok: bool


class MetricRow(BaseModel):
    """One metric of both questions; None where it was not measured."""

    metric: str
    figures: list[Interval | None]


class ModelContent(BaseModel):
    """The content of the page of one model."""

    model: ModelRow
    serves: bool
    version: str
    dataset: str
    events: int
    seed: int | None
    cutoff: datetime | None
    target: str | None
    questions: list[str]
    metrics: list[MetricRow]
    guardrails: list[GuardrailRow]
    hyperparameters: dict[str, str]
    history: list[PromotionRow]


class ReasonForm(BaseModel):
    """Why.

    Attributes
    ----------
    force
        Against the gate, and ending an A/B test.
    """

    reason: str = Field(min_length=3, max_length=500)
    force: bool = False


class RollBackForm(BaseModel):
    """Which model serves again, and why."""

    to: str = Field(max_length=100)
    reason: str = Field(min_length=3, max_length=500)


@router.get("")
def models(
    request: Request, user: Viewer, show: Annotated[Literal["latest", "all"], Query()] = "latest"
) -> Response:
    """The registry: the newest version of each experiment, or all."""
    with unit_of_work() as session:
        registered = registry.list_models(session)
        active = registry.active(session)
        before = None if active is None else registry.served_before(session, active.name)
        runs = [run_summary(run) for run in jobs.history(session, job="train", limit=5)]
        history = [_promotion(row) for row in registry.history(session)[:_MOST_HISTORY]]
    rows = [_row(model) for model in (registered if show == "all" else _latest(registered))]
    if show == "latest":
        # the serving one first, then the best; those that nothing judged last
        rows.sort(key=lambda row: (not row.serves, -max((each.value for each in row.ndcg), default=-1.0)))
    lists = [
        model.registered.name for model in request.app.state.refresher.data.auxiliary.by_algorithm.values()
    ]
    content = ModelsContent(
        active=None if active is None else active.name,
        rollback_to=before,
        show=show,
        models=rows,
        registered=len(registered),
        top=max((figure.high for row in rows for figure in row.ndcg), default=1.0),
        training=next((run for run in runs if run.can_stop), None),
        trainings=runs,
        history=history,
    )
    return TEMPLATES.page(request, "console/models.html.j2", content, of_products=lists)


@router.get("/{name}")
def model(request: Request, user: Viewer, name: Name) -> Response:
    """One version with everything that was measured of it."""
    with unit_of_work() as session:
        found = registry.get(session, name)
        rows = [row for row in registry.history(session) if name in (row.to_name, row.from_name)]
        history = [_promotion(row) for row in rows[:_MOST_HISTORY]]
    return TEMPLATES.page(
        request,
        "console/model.html.j2",
        _content(found, history),
        metric_names=METRIC_NAMES,
        guardrail_names=GUARDRAIL_NAMES,
    )


@router.get("/{name}/report")
def model_report_page(request: Request, user: Viewer, name: Name) -> Response:
    """The evaluation report inside of the console."""
    with unit_of_work() as session:
        row = _row(registry.get(session, name))
    return TEMPLATES.page(request, "console/model_report.html.j2", row)


@router.get("/{name}/report/content")
def model_report_content(request: Request, user: Viewer, name: Name) -> Response:
    """The page that training wrote, in a frame of ours alone; it may neither run nor fetch anything."""
    with unit_of_work() as session:
        path = report_path(registry.get(session, name), "html")
    if not path.is_file():
        raise NotFound(f"The report of {name} is not there any more; `recsys train report {name}` writes it.")
    headers = {
        "Content-Security-Policy": _REPORT_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
    return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)


@router.post("/{name}/promote")
def promote_model(user: Operator, name: Name, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Let this model serve."""
    given = form.model(ReasonForm)
    with unit_of_work() as session:
        row = _row(registry.get(session, name))
    if row.gate == "hold" and not given.force:
        raise Conflict(
            f"{name} is held back: {row.gate_reason}. Check the box to promote it against the gate."
        )
    before = switching.promote(name, actor=user.actor, reason=given.reason, force=given.force)
    after = "" if before is None else f" in place of {before}"
    return redirect(
        f"/console/models/{name}",
        f"{name} serves{after}. Next, make new stored lists.",
    )


@router.post("/{name}/hold")
def hold_model(user: Operator, name: Name, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Keep this model from being promoted."""
    switching.hold(name, actor=user.actor, reason=form.model(ReasonForm).reason)
    return redirect(f"/console/models/{name}", f"{name} is held back: it is promoted only by force.")


@router.post("/roll-back")
def roll_back_model(user: Operator, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Let an earlier model serve again."""
    given = form.model(RollBackForm)
    done = switching.roll_back(given.to, actor=user.actor, reason=given.reason)
    lists = {
        "kept": "The stored lists were its own already.",
        "switched": "Its stored lists are displayed again.",
        "withdrawn": "It has no stored lists, so lists are ranked when they are requested.",
    }[done.lists]
    return redirect(
        "/console/models",
        f"{done.active} serves again after {done.seconds:.1f} s (before: {done.before}). {lists}",
    )


def _latest(registered: Iterable[RegisteredModel]) -> list[RegisteredModel]:
    """The newest version of each experiment, and the model that serves; `registered` : newest first."""
    chosen, experiments = [], set()
    for each in registered:
        experiment = each.name.rpartition("-v")[0] or each.name
        if each.is_active or experiment not in experiments:
            chosen.append(each)
        experiments.add(experiment)
    return chosen


def _row(found: RegisteredModel) -> ModelRow:
    gate: Any = found.parameters.get("gate")
    gate = gate if isinstance(gate, dict) else {}
    metrics: Any = found.parameters.get("metrics") or {}
    return ModelRow(
        name=found.name,
        algorithm=found.algorithm,
        trained_at=found.last_trained_at,
        serves=found.is_active,
        gate=gate.get("action"),
        gate_reason=gate.get("reason"),
        held_by_hand=gate.get("by_hand") is True,
        ndcg=[
            figure
            for view in QUESTIONS
            if (figure := _interval(view, metrics.get(view, {}), "ndcg")) is not None
        ],
        has_report=isinstance(found.parameters.get("report"), str),
        run=found.parameters.get("run"),
    )


def _content(found: RegisteredModel, history: list[PromotionRow]) -> ModelContent:
    parameters: Any = found.parameters
    metrics: Any = parameters.get("metrics") or {}
    gate: Any = parameters.get("gate") or {}
    hyperparameters: Any = parameters.get("hyperparameters") or {}
    names = dict.fromkeys(name for view in QUESTIONS for name in metrics.get(view, {}))
    rows = [
        MetricRow(metric=name, figures=[_interval(view, metrics.get(view, {}), name) for view in QUESTIONS])
        for name in names
    ]
    return ModelContent(
        model=_row(found),
        serves=found.is_active,
        version=found.version,
        dataset=found.dataset[:12],
        events=found.events,
        seed=parameters.get("seed"),
        cutoff=parameters.get("cutoff"),
        target=str(parameters["target"]) if parameters.get("target") else None,
        questions=list(QUESTIONS.values()),
        metrics=[row for row in rows if any(row.figures)],
        guardrails=[
            GuardrailRow.model_validate(each) for each in gate.get("guardrails", ()) if isinstance(each, dict)
        ],
        hyperparameters=dict(_parameters(hyperparameters)),
        history=history,
    )


def _parameters(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Parameters by name, a line for each member of a hybrid; without the values that are unset."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            for member, its in value.items():
                yield f"{name}: {member}", _in_line(its) or "as by default"
        elif value is not None:
            yield name, str(value)


def _in_line(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    parts = {**value, **(value.get("parameters") or {})}
    return ", ".join(
        f"{name} {each}" for name, each in parts.items() if name not in ("algorithm", "parameters")
    )


def _interval(view: str, figures: Any, metric: str) -> Interval | None:
    figure = figures.get(metric)
    if not isinstance(figure, dict) or not {"value", "low", "high"} <= figure.keys():
        return None
    return Interval(
        question=QUESTIONS[view],
        value=figure["value"],
        low=figure["low"],
        high=figure["high"],
        k=int(figures.get("k", 0)),
    )


def _promotion(row: Any) -> PromotionRow:
    return PromotionRow(
        at=row.created_at,
        actor=row.actor,
        action=row.action.replace("_", " "),
        from_name=row.from_name,
        to_name=row.to_name,
        reason=row.reason,
    )
