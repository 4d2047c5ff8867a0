"""Retention periods: what is older than its setting is counted, then deleted, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.metadata import metadata
from recsys.database.session import unit_of_work
from recsys.diagnosis import doctor
from recsys.errors import Invalid
from recsys.jobs.catalogue import JOBS
from recsys.privacy import retention
from recsys.privacy.retention import RULES, RetentionRule
from recsys.privacy.tables import ModelToRetrain
from recsys.settings import get_settings
from recsys.settings.privacy import RETENTION_TABLES
from tests.support.shop import Shop


def test_each_table_of_the_setting_has_one_rule() -> None:
    tables = [rule.table for rule in RULES]
    assert len(tables) == len(set(tables))
    assert set(RETENTION_TABLES) == {
        rule.table for rule in RULES if rule.setting.startswith("PRIVACY__RETENTION_DAYS")
    }
    for rule in RULES:
        assert rule.moment in metadata.tables[rule.table].columns


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.table)
def test_an_empty_table_has_nothing_old(session: Session, rule: RetentionRule) -> None:
    assert rule.count(session) in (0, None)


def test_old_rows_are_counted_and_deleted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PRIVACY__RETENTION_DAYS", '{"analytics_db.page_views": 90}')
    get_settings.cache_clear()
    now = clock.now()
    with shop.connect() as connection:
        for days in (1, 89, 91, 400):
            values = {"moment": now - timedelta(days=days)}
            connection.execute(
                "INSERT INTO analytics_db.page_views (page_url, timestamp) VALUES ('/', %(moment)s)", values
            )
            connection.execute(
                "INSERT INTO analytics_db.user_events (event_type, timestamp) VALUES ('x', %(moment)s)",
                values,
            )
    planned = json.loads(shop.run("privacy", "retention", "--dry-run", "--json").stdout)
    rows = {each["table"]: each["rows"] for each in planned["tables"]}
    assert (rows["analytics_db.page_views"], rows["analytics_db.user_events"]) == (2, None)
    assert JOBS["retention"].arguments == ("privacy", "retention")
    done = {each.table: each.rows for each in retention.apply()}
    assert done["analytics_db.page_views"] == 2
    with shop.connect() as connection:
        left = connection.execute(
            "SELECT (SELECT count(*) FROM analytics_db.page_views), "
            "(SELECT count(*) FROM analytics_db.user_events)"
        ).fetchall()
    assert left == [(2, 4)]


@pytest.mark.parametrize("value", ['{"analytics_db.pages": 90}', '{"analytics_db.page_views": 0}'])
def test_a_wrong_period_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECSYS_PRIVACY__RETENTION_DAYS", value)
    get_settings.cache_clear()
    with pytest.raises(Invalid, match="RETENTION_DAYS"):
        get_settings()


def test_doctor_names_models_that_are_late(shop: Shop) -> None:
    def finding() -> doctor.Finding:
        return next(each for each in doctor.examine(get_settings()) if each.part == "privacy")

    now = clock.now()
    with shop.connect() as connection:
        for name in ("als-v1", "als-v2"):
            connection.execute(
                "INSERT INTO recommendations_db.recommendation_models (name, version, parameters) "
                """VALUES (%s, '1', '{"artifact": "models/x"}')""",
                (name,),
            )
    with unit_of_work() as session:
        session.add(ModelToRetrain(name="als-v1", erased_at=now, retrain_by=now + timedelta(days=1)))
    assert finding().state == "ok"
    with unit_of_work() as session:
        session.add(ModelToRetrain(name="als-v2", erased_at=now, retrain_by=now - timedelta(days=1)))
    assert finding().state == "attention"
    assert "als-v2" in finding().found
    assert "als-v1" not in finding().found
