"""Events of users, and the rows of their lists."""

from __future__ import annotations

from uuid import uuid4

import httpx

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import InteractionsRecorded
from serving.batch.handlers import refresh

ROWS = (
    "SELECT user_id, product_id, id, recommendation_type, score, reason, context "
    "FROM recommendations_db.product_recommendations WHERE expires_at > now() ORDER BY 1, 2"
)


def view(client: httpx.Client, product: int, user: int = 1, kind: str = "view") -> None:
    event = {"user_id": user, "product_id": product, "interaction_type": kind}
    assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1


def hear(user: int) -> None:
    """What the consumer of the group `serving` does with the event of these interactions."""
    event = InteractionsRecorded(user_id=user, product_ids=(1,))
    with unit_of_work() as session:
        refresh(session, Envelope(uuid4(), clock.now(), event))
