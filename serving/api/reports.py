"""The evaluation report of a registered model over HTTP: as a page, or as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import FileResponse

from models.registry import registry
from models.registry.report_paths import report_path
from recsys.database.session import unit_of_work
from recsys.errors import NotFound
from recsys.web.access.authorization import keys_are_optional
from recsys.web.dependencies import brief_admin
from recsys.web.errors import problem_responses
from recsys.web.validators import Text

__all__ = ["router"]

router = APIRouter()

HEADERS = {
    # names of products are untrusted: even unescaped markup must neither run nor fetch anything
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report as a page, or as JSON.",
        "content": {"text/html": {}, "application/json": {}},
    },
    **problem_responses(401, 403, 404, 422, 503),
}


def _allowed(request: Request) -> None:
    """Restrict reports to administrators: their examples show the interactions of real users.

    Where keys are optional they are public, so that the page opens in a browser without an account.
    """
    if not keys_are_optional(request.scope):
        brief_admin(request)


@router.get(
    "/api/v1/models/{name}/report",
    tags=["operations"],
    response_class=FileResponse,
    responses=RESPONSES,
    dependencies=[Depends(_allowed)],
)
def model_report(
    request: Request,
    name: Annotated[Text, Path(max_length=100, description="Name of a registered model, e.g. als-v3.")],
    format: Annotated[
        Literal["html", "json"] | None, Query(description="Default: what the header `Accept` prefers.")
    ] = None,
) -> FileResponse:
    """The report of the run that trained this model; outside development only for administrators."""
    kind = format or _preferred(request.headers.get("accept", ""))
    with unit_of_work() as session:
        path = report_path(registry.get(session, name), kind)
    if not path.is_file():
        raise NotFound(
            f"the {kind.upper()} report of {name} is no longer there; "
            f"`recsys train report {name}` writes the page again from its JSON twin"
        )
    media = "text/html; charset=utf-8" if kind == "html" else "application/json"
    return FileResponse(path, media_type=media, headers=HEADERS)


def _preferred(accept: str) -> Literal["html", "json"]:
    """Return json where `Accept` prefers it to HTML (RFC 9110, section 12.5.1); html otherwise."""
    weights = {"text/html": -1.0, "application/json": -1.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if kind.lower() in weights:
            weights[kind.lower()] = weight
    return "json" if weights["application/json"] > max(weights["text/html"], 0.0) else "html"
