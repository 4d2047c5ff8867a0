"""Answered lists: what was answered to whom, on its way to PostgreSQL and read again by request or person.

A list is known by its request and its shelf: the same one sent twice is stored once. Until it is stored it is
found in Redis, where hashes of twenty seconds each hold the lists of the last minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
import redis
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, INTEGER, REAL, TEXT, TIMESTAMP, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.database.servers.references import lock_users
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Answered", "find", "lists_of", "pack", "recall", "remember", "store", "sweep", "unpack"]

PERIOD_SECONDS = 20
PERIODS = 4
"""So many periods are asked for a request id; a hash expires when it is asked no more."""
_log = get_logger(__name__)


class Answered(NamedTuple):
    """One list that was answered. Names are those of the answer's provenance.

    Attributes
    ----------
    request_id
        Up to 64 characters.
    shelf
        Such as `for_you`, up to 50 characters.
    source
        Up to 20 characters.
    products, scores
        In the order of the answer, equally many; scores from 0 to 1.
    before
        Products of the list on earlier pages: the first of these stands after so many.
    propensities
        Of a list that was drawn at random, for each product the probability that it was drawn for its place
        given the products before it; None where that is not known. None for any other list.
    candidates
        The products that such a list was drawn from, in the order of the model and the rules.
    arm_propensity
        Probability with which the visitor was assigned to the arm of an experiment.
    teams
        Of an interleaved list, whose product each place has: 0 the control's, 1 the challenger's, None
        nobody's; its propensities are those of drawn lists, without candidates.
    credits
        What a success at each of these places counts for the challenger; below 0 for the control.
    milliseconds, late
        Of a list in an experiment, how long it took and whether its deadline passed.
    filters
        Of a drawn list, what its request narrowed it by: names and values that JSON has.
    """

    request_id: str
    shelf: str
    source: str
    products: Sequence[int]
    scores: Sequence[float]
    shown_at: datetime
    user_id: int | None = None
    session_id: str | None = None
    model: str | None = None
    version: str | None = None
    generation: int | None = None
    arm: str | None = None
    before: int = 0
    propensities: Sequence[float | None] | None = None
    candidates: Sequence[int] | None = None
    arm_propensity: float | None = None
    teams: Sequence[int | None] | None = None
    credits: Sequence[float] | None = None
    milliseconds: float | None = None
    late: bool | None = None
    filters: Mapping[str, Any] | None = None


_OLDEST_FIELDS = Answered._fields.index("before") + 1
"""Fields of a list in the program that drew none at random and tested nothing."""
_STORE = text(
    """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(:request_ids, :shelves, :users, :sessions, :models, :versions, :generations,
                             :sources, :arms, :products, :scores, :moments, :propensities, :candidates,
                             :arm_propensities, :teams, :credits, :milliseconds, :late, :filters)
          AS g(request_id, shelf, user_id, session_id, model, version, generation, source, arm, product_ids,
               scores, shown_at, propensities, candidates, arm_propensity, teams, credits, milliseconds, late,
               filters)
    )
    INSERT INTO recommendations_db.exposures
        (request_id, shelf, user_id, session_id, model, version, generation, source, arm, product_ids,
         scores, shown_at, propensities, candidates, arm_propensity, teams, credits, milliseconds, late,
         filters)
    SELECT request_id, shelf, user_id, session_id, model, version, generation, source, arm,
           CAST(product_ids AS integer[]), CAST(scores AS real[]), shown_at,
           CAST(propensities AS real[]), CAST(candidates AS integer[]), arm_propensity,
           CAST(teams AS smallint[]), CAST(credits AS real[]), milliseconds, late, CAST(filters AS jsonb)
    FROM given
    ORDER BY request_id, shelf
    ON CONFLICT DO NOTHING
    """
).bindparams(
    *(bindparam(name, type_=ARRAY(VARCHAR)) for name in ("request_ids", "shelves", "sessions", "models")),
    *(bindparam(name, type_=ARRAY(VARCHAR)) for name in ("versions", "sources", "arms")),
    # an array of arrays of different lengths does not exist: they travel as texts
    *(bindparam(name, type_=ARRAY(TEXT)) for name in ("products", "scores", "propensities", "candidates")),
    *(bindparam(name, type_=ARRAY(TEXT)) for name in ("teams", "credits", "filters")),
    *(bindparam(name, type_=ARRAY(INTEGER)) for name in ("users", "generations")),
    bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))),
    *(bindparam(name, type_=ARRAY(REAL)) for name in ("arm_propensities", "milliseconds")),
    bindparam("late", type_=ARRAY(BOOLEAN)),
)
_COLUMNS = """
    SELECT request_id, shelf, source, product_ids, scores, shown_at, user_id, session_id, model, version,
           generation, arm, coalesce(array_lower(product_ids, 1), 1) - 1, propensities, candidates,
           arm_propensity, teams, credits, milliseconds, late, filters
    FROM recommendations_db.exposures
"""
_FIND = text(f"{_COLUMNS} WHERE request_id = ANY(:ids) ORDER BY request_id, shelf").bindparams(
    bindparam("ids", type_=ARRAY(VARCHAR))
)
_CONDITIONS = {
    "user_id": "user_id = :user_id",
    "session_id": "session_id = :session_id",
    "shelf": "shelf = :shelf",
    "product_id": ":product_id = ANY(product_ids)",
    "since": "shown_at >= :since",
    "until": "shown_at <= :until",
}
# a part at a time, so that a long absence does not become one long transaction
_SWEEP = text(
    """
    DELETE FROM recommendations_db.exposures WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM recommendations_db.exposures WHERE shown_at < :before LIMIT :most))
    """
)


def pack(several: Iterable[Answered]) -> bytes:
    """Some lists as JSON, about 350 bytes for one of twenty products. Raises TypeError for no such list."""
    rows = [_fields(each) for each in several]
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)


def unpack(packed: bytes) -> list[Answered]:
    """The lists again. Raises ValueError for anything else."""
    try:
        rows = orjson.loads(packed)
        found = [_answered(row) for row in rows]
        if not all(map(_plausible, found)):
            raise ValueError("a field of another type")
        return found
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ValueError("not a batch of answered lists") from error


def _fields(one: Answered) -> list[Any]:
    """The fields, without the newer ones at the end that are None: the program before may store the list."""
    fields = list(one)
    while len(fields) > _OLDEST_FIELDS and fields[-1] is None:
        fields.pop()
    return fields


def _answered(row: list[Any]) -> Answered:
    values = [*row, *[None] * (len(Answered._fields) - len(row))] if len(row) >= _OLDEST_FIELDS else row
    return Answered._make((*values[:5], datetime.fromisoformat(values[5]), *values[6:]))


def _plausible(one: Answered) -> bool:
    return (
        isinstance(one.request_id, str)
        and isinstance(one.products, list)
        and isinstance(one.scores, list)
        and isinstance(one.before, int)
        and isinstance(one.propensities, list | None)
        and isinstance(one.candidates, list | None)
        and isinstance(one.teams, list | None)
        and isinstance(one.credits, list | None)
        and isinstance(one.filters, dict | None)
    )


def store(session: Session, several: Sequence[Answered]) -> int:
    """Store lists, those that are stored already left out; how many were new.

    A user who does not exist (any more) is left out of the row.
    """
    users = lock_users(session, {one.user_id for one in several if one.user_id is not None})
    done: Any = session.execute(
        _STORE,
        {
            "request_ids": [one.request_id for one in several],
            "shelves": [one.shelf for one in several],
            "users": [one.user_id if one.user_id in users else None for one in several],
            "sessions": [one.session_id for one in several],
            "models": [one.model for one in several],
            "versions": [one.version for one in several],
            "generations": [one.generation for one in several],
            "sources": [one.source for one in several],
            "arms": [one.arm for one in several],
            "products": [_array(one.products, one.before) for one in several],
            "scores": [_array(one.scores, one.before) for one in several],
            "moments": [one.shown_at for one in several],
            "propensities": [
                None if one.propensities is None else _array(one.propensities, one.before) for one in several
            ],
            "candidates": [None if one.candidates is None else _array(one.candidates, 0) for one in several],
            "arm_propensities": [one.arm_propensity for one in several],
            "teams": [None if one.teams is None else _array(one.teams, one.before) for one in several],
            "credits": [None if one.credits is None else _array(one.credits, one.before) for one in several],
            "milliseconds": [one.milliseconds for one in several],
            "late": [one.late for one in several],
            "filters": [
                None if one.filters is None else orjson.dumps(one.filters).decode() for one in several
            ],
        },
    )
    return int(done.rowcount)


def find(session: Session, request_ids: Collection[str]) -> dict[str, list[Answered]]:
    """The stored lists of these requests; a request without any is missing."""
    found: defaultdict[str, list[Answered]] = defaultdict(list)
    for row in session.execute(_FIND, {"ids": sorted(request_ids)}) if request_ids else ():
        found[row.request_id].append(Answered(*row))
    return dict(found)


def lists_of(
    session: Session,
    *,
    user_id: int | None = None,
    session_id: str | None = None,
    shelf: str | None = None,
    product_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
) -> list[Answered]:
    """The newest `limit` stored lists that meet all given conditions, newest first.

    Parameters
    ----------
    user_id, session_id
        Whose lists.
    shelf
        The name of the list.
    product_id
        Lists that contain it; without a person give `since`, which limits what is read.
    since, until
        Shown at these moments or between them.
    """
    given = {
        "user_id": user_id, "session_id": session_id, "shelf": shelf, "product_id": product_id,
        "since": since, "until": until,
    }  # fmt: skip
    values = {name: value for name, value in given.items() if value is not None}
    conditions = " AND ".join(["true", *(_CONDITIONS[name] for name in values)])
    query = text(f"{_COLUMNS} WHERE {conditions} ORDER BY shown_at DESC, request_id, shelf LIMIT :limit")
    return [Answered(*row) for row in session.execute(query, {**values, "limit": limit})]


def sweep(session: Session, most: int = 20_000) -> int:
    """Delete lists past their days, at most so many at once; how many."""
    before = clock.now() - timedelta(days=get_settings().intake.exposure_days)
    done: Any = session.execute(_SWEEP, {"before": before, "most": most})
    return int(done.rowcount)


def remember(pipeline: redis.client.Pipeline, several: Sequence[Answered]) -> None:
    """Let `recall` find these lists for about a minute.

    Lists of one request have to come together: a later part takes the place of an earlier one.
    """
    grouped: defaultdict[str, list[Answered]] = defaultdict(list)
    for one in several:
        grouped[one.request_id].append(one)
    key = keys.recent_exposures(_period())
    fields: Any = {request_id: pack(lists) for request_id, lists in grouped.items()}
    pipeline.hset(key, mapping=fields)
    pipeline.expire(key, PERIOD_SECONDS * (PERIODS + 1))


def recall(client: redis.Redis, request_ids: Collection[str]) -> dict[str, list[Answered]]:
    """Lists of the last minute by request id. Raises RedisError."""
    wanted = sorted(request_ids)
    if not wanted:
        return {}
    pipeline, now = client.pipeline(transaction=False), _period()
    for back in range(PERIODS):
        pipeline.hmget(keys.recent_exposures(now - back), wanted)
    found: dict[str, list[Answered]] = {}
    for values in reversed(pipeline.execute()):
        for name, value in zip(wanted, values, strict=True):
            try:
                found |= {name: unpack(value)} if value else {}
            except ValueError as error:
                _log.error("an answered list in Redis cannot be read", error=str(error))
    return found


def _period() -> int:
    return int(clock.now().timestamp()) // PERIOD_SECONDS


def _array(values: Sequence[float | None], before: int) -> str:
    # the subscripts are the places in the whole list, pages before this one included
    at = f"[{before + 1}:{before + len(values)}]=" if before and values else ""
    return at + "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
