"""Health of this process by part, checked on each request."""

from __future__ import annotations

from anyio import to_thread
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from recsys.artifacts.store import artifact_store
from recsys.cache import keys
from recsys.database.absence import refusal_of_writes
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from recsys.errors import RecsysError, Unavailable
from serving.api.schemas import Health, PartOut
from serving.state.ab_assignment import RunningTests
from serving.state.artifact_upkeep import ArtifactUpkeep
from serving.state.metrics import LateShare
from serving.state.refresher import Refresher
from serving.state.serving_data import ServingData

__all__ = ["check"]

MAX_LATE_SHARE = 0.05
MIN_LATE = 5
"""Fewer late lists in a minute are no reason for an alarm."""


async def check(refresher: Refresher, late_share: LateShare) -> Health:
    """Return the health of each part. Raises Unavailable, with the reason, when no list can be served."""
    data, redis = refresher.data, refresher.redis
    catalogue = data.catalogue
    parts = {
        "postgresql": PartOut(well=True, detail="answers"),
        "redis": PartOut(well=True, detail="answers"),
        "model": _model(data),
        "generation": PartOut(well=False, detail="unknown while PostgreSQL does not answer"),
        "catalogue": PartOut(
            well=bool(catalogue.shown.any()),
            detail=f"{catalogue.shown.sum()} of {len(catalogue)} products can be shown",
        ),
    }
    parts["deadline"] = _deadline(late_share)
    if artifact_store().is_shared:
        parts["artifacts"] = _artifacts(refresher.artifacts)
    if data.tests.all:
        parts["ab_test"] = _ab_tests(data.tests)
    try:
        parts["generation"] = await to_thread.run_sync(_generation)
        refused = await to_thread.run_sync(_refusal)
        if refused is not None:
            parts["postgresql"] = PartOut(
                well=False, detail=f"takes no writes ({refused}); what is posted is queued"
            )
    except (RecsysError, SQLAlchemyError):
        parts["postgresql"] = PartOut(well=False, detail="does not answer; lists come from Redis and memory")
    try:
        if redis.client is None:
            raise Unavailable("its address is not known")
        await redis.client.ping()
        waiting = int(await redis.client.xlen(keys.posts_waiting()))
        if waiting:
            detail = f"{waiting} posts wait in Redis for PostgreSQL, or for the lists that they are about"
            parts["write_buffer"] = PartOut(well=parts["postgresql"].well, detail=detail)
    except (RedisError, OSError, Unavailable):
        parts["redis"] = PartOut(well=False, detail="does not answer; lists come from PostgreSQL")
    reasons = [f"{name}: {part.detail}" for name, part in parts.items() if not part.well]
    plain = {name: part.model_dump() for name, part in parts.items()}
    if not parts["catalogue"].well:
        message = f"There is nothing to show. {'; '.join(reasons)}"
        raise Unavailable(message, public=message, parts=plain)
    if not parts["postgresql"].well and not parts["redis"].well:
        message = f"Neither PostgreSQL nor Redis answers. {'; '.join(reasons)}"
        raise Unavailable(message, public=message, parts=plain)
    return Health(status="degraded" if reasons else "ready", parts=parts)


def _model(data: ServingData) -> PartOut:
    model, problem = data.model, data.model_problem
    if model is None:
        return PartOut(well=False, detail=f"none is loaded, lists are popular products: {problem}")
    if problem is not None:
        return PartOut(well=False, detail=f"{model.registered.name} goes on serving: {problem}")
    return PartOut(well=True, detail=model.registered.name)


def _artifacts(upkeep: ArtifactUpkeep) -> PartOut:
    if upkeep.problem is not None:
        return PartOut(well=False, detail=f"what is on this machine goes on serving: {upkeep.problem}")
    return PartOut(well=True, detail="the store answers")


def _deadline(late_share: LateShare) -> PartOut:
    lists, late = late_share.of_last_minute()
    if lists == 0:
        return PartOut(well=True, detail="no list was requested in the last minute")
    detail = f"{late} of {lists} lists of the last minute were not ready in time ({late / lists:.1%})"
    return PartOut(well=late < MIN_LATE or late / lists < MAX_LATE_SHARE, detail=detail)


def _ab_tests(tests: RunningTests) -> PartOut:
    details = []
    for each in tests.all:
        test, problem = each.test, each.problem
        arms = ", ".join(f"{arm.name} {arm.share:.0%}" for arm in test.design.arms)
        state = f"{arms} of the visitors"
        if problem is not None:
            state = f"the serving model answers in its place: {problem}"
        details.append(f"{test.name}: {state}")
    return PartOut(well=all(each.problem is None for each in tests.all), detail="; ".join(details))


def _refusal() -> str | None:
    with unit_of_work() as session:
        return refusal_of_writes(session)


def _generation() -> PartOut:
    with unit_of_work() as session:
        session.execute(text("SELECT 1"))
        live = generations.live(session)
    if live is None:
        return PartOut(well=False, detail="no stored lists yet; run `recsys serve score`")
    return PartOut(well=True, detail=f"{live.id}: {live.rows} rows of {live.users} users by {live.model}")
