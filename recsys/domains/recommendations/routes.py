"""HTTP of the recommendations domain: what users do comes in here."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from recsys.domains.recommendations import service
from recsys.domains.recommendations.schemas import InteractionIn, InteractionsOut
from recsys.web.dependencies import SessionDep
from recsys.web.errors import problem_responses

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["interactions"])

_SCHEMA = InteractionIn.model_json_schema(ref_template="#/components/schemas/{model}")
_DEFINITIONS = _SCHEMA.pop("$defs", {})
# the type is a short list of words: written out here, so that the schema stands alone
_SCHEMA["properties"]["interaction_type"] = _DEFINITIONS["InteractionType"]


@router.post(
    "/interactions",
    response_model=InteractionsOut,
    responses=problem_responses(400, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _SCHEMA,
                            {"type": "array", "items": _SCHEMA, "minItems": 1, "maxItems": 1000},
                        ]
                    },
                    "examples": {
                        "one": {"value": _SCHEMA["examples"][0]},
                        "several": {"value": _SCHEMA["examples"]},
                    },
                }
            },
        }
    },
)
def post_interactions(session: SessionDep, body: Annotated[Any, Body()]) -> InteractionsOut:
    """Store one interaction, or up to 1,000, each with its own verdict.

    `stored`; `duplicate` when its `event_id` is known already; `refused` with the reason. One refused
    interaction never stops the others. When none could be taken, the answer is a problem with the verdicts.
    """
    return service.record_interactions(session, body)
