"""Visitors with sessions of their own, and the API of a shop that they visit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.settings import get_settings
from tests.journeys.conftest import Counter, counter
from tests.recsys.domains.users.conftest import Desk, Person, desk

__all__ = ["BROWSER", "Counter", "Desk", "Person", "counter", "desk", "fresh_settings", "page", "visits_of"]

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


def page(event_id: str, moment: datetime, url: str = "/tea", **others: object) -> dict[str, Any]:
    """A page view as a front end sends it."""
    return {
        "type": "page_view",
        "event_id": event_id,
        "page_url": url,
        "timestamp": moment.isoformat(),
        **others,
    }


def visits_of(session: Session) -> list[dict[str, Any]]:
    """Every visit, by its name's number."""
    rows = session.execute(
        text("SELECT * FROM analytics_db.user_sessions ORDER BY start_time, session_id")
    ).mappings()
    return [dict(row) for row in rows]


@pytest.fixture
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings read again, from this test's environment alone."""
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()
