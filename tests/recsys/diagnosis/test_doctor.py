"""The doctor finds what is wrong with each part, says what to do, and keeps quiet about what is well."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from models.registry.artifact import read_artifact, write_artifact
from recsys import clock
from recsys.cache import keys
from recsys.database import migrate
from recsys.diagnosis import doctor
from recsys.diagnosis.artifacts import artifact_fault
from recsys.diagnosis.finding import Finding
from recsys.errors import Invalid, NotFound
from recsys.settings import Settings
from tests.support.shop import Shop

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _findings(settings: Settings, now: datetime = NOW) -> dict[str, Finding]:
    with clock.frozen_at(now):
        findings = {each.part: each for each in doctor.examine(settings)}
    # the clock of these tests stands still
    del findings["clock"]
    return findings


def _execute(shop: Shop, statement: str, *values: object) -> None:
    with shop.connect() as connection:
        connection.execute(statement, values)


def _well(shop: Shop, client: redis.Redis) -> None:
    """A shop in which everything is as it should be."""
    arrays = {"users": np.arange(6, dtype=np.float32).reshape(2, 3), "items": np.arange(4, dtype=np.int32)}
    checksum = write_artifact(shop.var / "models" / "als-v1", {"algorithm": "als"}, arrays)
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_models "
        "(name, version, parameters, is_active, last_trained_at) VALUES ('als-v1', '1', %s, true, %s)",
        json.dumps({"artifact": "models/als-v1", "checksum": checksum}),
        NOW - timedelta(hours=3),
    )
    _snapshot(shop)
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_generations "
        "(model_name, model_version, status, users, rows, started_at, live_at) "
        "VALUES ('als-v1', '1', 'live', 2, 80, %s, %s)",
        NOW - timedelta(hours=2),
        NOW - timedelta(hours=2),
    )
    client.set(keys.live_generation(), 1)


def _snapshot(shop: Shop, **changes: object) -> Path:
    (shop.var / "datasets" / "feed").mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "fingerprint": "feed",
        "folder": "feed",
        "moment": "2017-12-31T00:00:00+00:00",
        "built_at": (NOW - timedelta(hours=4)).isoformat(),
        "events": 1000,
        "users": 2,
        "items": 3,
        "until": None,
    }
    path = shop.var / "datasets" / "current.json"
    path.write_text(json.dumps(record | changes))
    return path


@pytest.mark.one_server
def test_a_new_shop_needs_attention_only(shop: Shop) -> None:
    found = _findings(shop.settings)
    assert {part: each.state for part, each in found.items()} == {
        "PostgreSQL": "ok",
        "Redis": "ok",
        "schema": "ok",
        "model": "attention",
        "features": "attention",
        "recommendations": "attention",
        "artifacts": "ok",
        "index": "ok",
        "events": "ok",
        "dead letters": "ok",
        "write buffer": "ok",
        "schedules": "ok",
        "artifact store": "ok",
        "disk": "ok",
        "API": "ok",
        "privacy": "ok",
    }
    assert shop.run("doctor").returncode == 0


def test_all_is_well(shop: Shop, redis_client: redis.Redis) -> None:
    _well(shop, redis_client)
    found = _findings(shop.settings)
    assert {each.state for each in found.values()} == {"ok"}, found
    assert all(each.remedy is None for each in found.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "missing"), ("{", "cannot be read"), ('{"checksum": "other"}', "cannot be read")],
)
def test_an_active_model_without_a_sound_artifact_is_broken(
    shop: Shop, redis_client: redis.Redis, content: str | None, message: str
) -> None:
    _well(shop, redis_client)
    header = shop.var / "models" / "als-v1" / "model.json"
    header.unlink() if content is None else header.write_text(content)
    found = _findings(shop.settings)["model"]
    assert (found.state, message in found.found) == ("broken", True), found
    assert "recsys train" in (found.remedy or "")
    done = shop.run("doctor", "--json")
    assert done.returncode == 1
    assert [each["part"] for each in json.loads(done.stdout) if each["state"] == "broken"] == ["model"]


def test_an_artifact_of_another_model_is_broken(shop: Shop, redis_client: redis.Redis) -> None:
    _well(shop, redis_client)
    write_artifact(shop.var / "models" / "als-v1", {"algorithm": "als"}, {"users": np.zeros(3)})
    found = _findings(shop.settings)["model"]
    assert (found.state, "another model" in found.found) == ("broken", True), found


def test_a_damaged_byte_anywhere_in_an_artifact_is_found(shop: Shop, redis_client: redis.Redis) -> None:
    _well(shop, redis_client)
    folder = shop.var / "models" / "als-v1"
    header = json.loads((folder / "model.json").read_text())
    assert artifact_fault(folder, header["checksum"]) is None
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        # the alignment of a `.npy` head is blanks, which mean nothing
        for place in [*range(0, 60, 7), *range(len(whole) - 12, len(whole), 3)]:
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
            assert artifact_fault(folder, header["checksum"]) is not None, (file.name, place)
            with pytest.raises((Invalid, NotFound)):
                read_artifact(folder)
        file.write_bytes(whole[:-1])
        assert artifact_fault(folder, header["checksum"]) is not None
        file.unlink()
        assert artifact_fault(folder, header["checksum"]) is not None
        file.write_bytes(whole)
    (folder / "users.npy").write_bytes(b"\x00" * 200)
    assert _findings(shop.settings)["model"].state == "broken"


@pytest.mark.parametrize(
    ("changes", "state", "message"),
    [
        ({"built_at": (NOW - timedelta(days=30)).isoformat()}, "attention", "30 days ago"),
        ({"moment": "yesterday"}, "broken", "cannot be read"),
        ({"folder": "elsewhere"}, "broken", "missing"),
        ({"moment": "2016-01-01T00:00:00+00:00"}, "ok", "1,000 events"),
        ({"moment": "2015-01-01T00:00:00+00:00"}, "attention", "more than 100 events are newer"),
        ({"moment": "2015-01-01T00:00:00+00:00", "events": 10_000}, "ok", "10,000 events"),
        ({"moment": "2016-01-01T00:00:00+00:00", "until": "2016-01-01T00:00:00+00:00"}, "ok", "1,000 events"),
    ],
)
def test_the_age_of_features(
    shop: Shop, redis_client: redis.Redis, changes: dict[str, object], state: str, message: str
) -> None:
    _well(shop, redis_client)
    _execute(
        shop,
        "INSERT INTO recommendations_db.user_interactions "
        "(product_id, interaction_type, session_id, created_at) SELECT 1, 'view', 'guest', moment "
        "FROM unnest(%s::timestamptz[]) AS given(moment)",
        [datetime(2017, 1, 1, tzinfo=UTC)] + 100 * [datetime(2015, 6, 1, tzinfo=UTC)],
    )
    _snapshot(shop, **changes)
    found = _findings(shop.settings)["features"]
    assert (found.state, message in found.found) == (state, True), found


def test_stored_recommendations_that_expired_or_disagree(shop: Shop, redis_client: redis.Redis) -> None:
    _well(shop, redis_client)
    late = NOW + timedelta(hours=shop.settings.serving.expires_after_hours)
    expired = _findings(shop.settings, late)["recommendations"]
    assert (expired.state, "expired" in expired.found) == ("attention", True)

    redis_client.set(keys.live_generation(), 7)
    pointing = _findings(shop.settings)["recommendations"]
    assert (pointing.state, "Redis shows 7" in pointing.found) == ("attention", True)

    _execute(shop, "UPDATE recommendations_db.recommendation_models SET is_active = false")
    _execute(
        shop,
        "INSERT INTO recommendations_db.recommendation_models (name, version, is_active) "
        "VALUES ('als-v2', '2', true)",
    )
    other = _findings(shop.settings)["recommendations"]
    assert (other.state, "als-v2" in other.found) == ("attention", True)
    assert other.remedy == "recsys serve score"


@pytest.mark.one_server
def test_an_old_schema_is_broken_and_migrate_mends_it(shop: Shop) -> None:
    migrate.downgrade(shop.database_url, "base")
    found = _findings(shop.settings)
    assert found["schema"].state == "broken"
    assert found["schema"].remedy == "recsys migrate"
    assert found["model"].state == "broken"
    assert shop.run("migrate").returncode == 0
    assert _findings(shop.settings)["schema"].state == "ok"


def test_servers_that_are_down_are_named_with_their_remedy(tmp_path: Path) -> None:
    found = _findings(Settings(var=tmp_path, environment="test"))
    assert {part for part, each in found.items() if each.state != "broken"} == {
        "artifact store",
        "disk",
        "API",
    }
    assert found["PostgreSQL"].remedy == found["Redis"].remedy == "recsys up"


def test_without_redis_the_rest_is_still_examined(shop: Shop) -> None:
    done = shop.run("doctor", "--json", RECSYS_REDIS__URL="redis://127.0.0.1:1")
    assert done.returncode == 1, done.stderr
    found = {each["part"]: each["state"] for each in json.loads(done.stdout)}
    assert (found["Redis"], found["PostgreSQL"], found["schema"]) == ("broken", "ok", "ok")
