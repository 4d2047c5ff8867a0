"""Interactions into `user_interactions`, each event once, by the event ids kept in `interaction_events`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recsys.imports.loading.staging import Connection, count, stage

__all__ = ["STAGED_INTERACTIONS", "MergedInteractions", "merge_interactions"]

STAGED_INTERACTIONS = {
    "event_id": "uuid",
    "user_id": "integer",
    "product_id": "integer",
    "interaction_type": "text",
    "interaction_value": "numeric(10,2)",
    "context": "jsonb",
    "session_id": "text",
    "created_at": "timestamptz",
}
# probing the index once per staged row keeps a batch's cost the same however many events are stored
_PROBE = b"SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_FRESH = b"""
CREATE TEMPORARY TABLE fresh_interactions ON COMMIT DROP AS
SELECT nextval('recommendations_db.user_interactions_id_seq')::integer AS id, s.*
FROM staged_interactions AS s
WHERE NOT EXISTS (SELECT FROM recommendations_db.interaction_events AS e WHERE e.event_id = s.event_id)
"""
_PLAN_FREELY = b"SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
# one statement, so that both foreign ends meet at its end; in the order of event ids, as the API does,
# so that an import and a request with the same events never wait for each other in a circle
_MERGE = """
WITH claimed AS (
    INSERT INTO recommendations_db.interaction_events (event_id, interaction_id)
    SELECT event_id, id FROM fresh_interactions ORDER BY event_id
    ON CONFLICT (event_id) DO NOTHING
    RETURNING interaction_id
), stored AS (
    INSERT INTO recommendations_db.user_interactions
        (id, user_id, product_id, interaction_type, interaction_value, context, session_id, created_at)
    SELECT id, user_id, product_id, interaction_type, interaction_value, coalesce(context, '{}'), session_id,
        created_at
    FROM fresh_interactions
    RETURNING id
)
SELECT (SELECT count(*) FROM claimed), (SELECT count(*) FROM stored)
"""
_GIVE_WAY = b"""
DELETE FROM recommendations_db.user_interactions AS i USING fresh_interactions AS f
WHERE i.id = f.id
    AND NOT EXISTS (SELECT FROM recommendations_db.interaction_events AS e WHERE e.interaction_id = f.id)
"""


@dataclass(frozen=True)
class MergedInteractions:
    """What became of the rows of one batch."""

    added: int
    already_there: int


def merge_interactions(connection: Connection, interactions: pl.DataFrame) -> MergedInteractions:
    """Add the events that are not there yet; `interactions` has the columns of STAGED_INTERACTIONS."""
    distinct = interactions.unique("event_id", keep="first", maintain_order=True)
    stage(connection, "staged_interactions", STAGED_INTERACTIONS, distinct)
    connection.execute(_PROBE)
    connection.execute(_FRESH)
    connection.execute(_PLAN_FREELY)
    claimed, stored = count(connection, _MERGE)
    if claimed < stored:
        # the API stored some of these events between our look and our insert
        connection.execute(_GIVE_WAY)
    return MergedInteractions(claimed, interactions.height - claimed)
