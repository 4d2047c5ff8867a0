"""The health of each part (ok, attention or broken), and what to do where it is not ok."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import redis
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from recsys import clock, embedded
from recsys.artifacts.object_storage import ArtifactStoreAway
from recsys.artifacts.store import artifact_store
from recsys.cache import keys
from recsys.cache.client import connect, redis_url
from recsys.database import migrate
from recsys.database.absence import DatabaseAway, refusal_of_writes
from recsys.database.addresses import connect_arguments, direct_url
from recsys.database.session import reaching
from recsys.diagnosis import machine, other_servers, pooler, work
from recsys.diagnosis.artifacts import fault_of, store_finding
from recsys.diagnosis.drift import BUILD_AND_TRAIN, skews
from recsys.diagnosis.finding import Finding, ago
from recsys.errors import RecsysError
from recsys.observation.features_snapshot import SnapshotFault, read_snapshot
from recsys.settings import Settings

__all__ = ["examine", "show"]

_WRITE = text(
    "INSERT INTO analytics_db.inbox (consumer_group, event_id, handled_at) VALUES ('doctor', :id, now())"
)
# counted up to a limit: a shop that never builds features may have millions
_NEWER = text(
    "SELECT count(*) FROM (SELECT FROM recommendations_db.user_interactions "
    "WHERE created_at > :moment AND created_at < 'infinity' LIMIT :most) AS newer"
)
_NEWEST_ARTIFACTS = text(
    """
    SELECT DISTINCT ON (algorithm) name, parameters ->> 'artifact' AS artifact,
        parameters ->> 'checksum' AS checksum
    FROM recommendations_db.recommendation_models
    WHERE NOT is_active AND parameters ->> 'artifact' IS NOT NULL
    ORDER BY algorithm, id DESC
    """
)
_LATE_MODELS = text(
    "SELECT t.name FROM recommendations_db.models_to_retrain t "
    "JOIN recommendations_db.recommendation_models m ON m.name = t.name AND m.parameters ? 'artifact' "
    "WHERE t.retrain_by < :now ORDER BY t.name"
)
_STALE_AFTER = timedelta(days=7)
"""A snapshot older than this gets attention even when few interactions are newer."""
_FEW_EVENTS, _FEW_SHARE = 100, 0.05
"""A snapshot gets attention when more interactions than both are newer: a number, a share of its events."""


def examine(settings: Settings) -> list[Finding]:
    """One finding for each part, those that others depend on first; a broken part raises nothing."""
    findings: list[Finding] = []
    store = _redis(settings)
    try:
        url = direct_url(settings)
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url))
        with reaching(url), engine.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            findings.append(_writes(connection, f"version {version} answers{_whose(settings, 'postgres')}"))
            findings.append(store)
            schema = _schema(url)
            findings.append(schema)
            ready = schema.state == "ok"
            if ready and findings[0].state == "ok":
                findings[0] = _writes_really(url, connection, findings[0])
            if findings[0].state == "ok":
                findings[0] = pooler.addresses(settings, connection, findings[0])
                findings += filter(None, [pooler.replica(settings, connection)])
                findings += other_servers.findings(settings, connection)
            with other_servers.connection_to(settings, "recommendations", connection) as recommendations:
                for part, look in _STORED.items():
                    of_part = recommendations if part in _OF_RECOMMENDATIONS else connection
                    if not ready or of_part is None:
                        by = "the recommendations server" if ready else "the schema"
                        findings.append(_blocked(part, by))
                    else:
                        findings.append(_looked(part, look, settings, of_part))
    except RecsysError as error:
        findings = [Finding("PostgreSQL", "broken", error.message, "recsys up"), store]
        findings += [_blocked(part, "PostgreSQL") for part in ("schema", *_STORED)]
    return [*findings, store_finding(settings), machine.disk(settings), machine.api(settings)]


def show(findings: list[Finding]) -> None:
    """The findings as a table for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {
        "ok": "[green]ok[/green]",
        "attention": "[yellow]attention[/yellow]",
        "broken": "[red]broken[/red]",
    }
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "state", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        table.add_row(each.part, marks[each.state], escape(each.found), escape(each.remedy or ""))
    Console().print(table)


def _looked(
    part: str, look: Callable[[Settings, Connection], Finding], settings: Settings, connection: Connection
) -> Finding:
    try:
        return look(settings, connection)
    except ArtifactStoreAway as error:
        return Finding(
            part, "broken", f"cannot be examined: {error.message}", "mend the artifact store first"
        )
    except (RecsysError, redis.RedisError):
        return Finding(part, "broken", "cannot be examined without Redis", "mend Redis first")
    except SQLAlchemyError as error:
        # the parts after this one are looked at in a transaction of their own
        connection.rollback()
        return Finding(part, "broken", str(error).partition("\n")[0], "recsys up, then recsys migrate")


def _blocked(part: str, by: str) -> Finding:
    return Finding(part, "broken", f"cannot be examined without {by}", f"mend {by} first")


def _whose(settings: Settings, name: str) -> str:
    for server in embedded.status(settings):
        if server.name == name:
            return f", your own at {server.address}" if server.state == "external" else ", embedded"
    return ""


def _redis(settings: Settings) -> Finding:
    try:
        with connect(redis_url(settings)) as client:
            facts: Any = client.info("server")
        version = facts.get("valkey_version") or facts.get("redis_version")
        return Finding("Redis", "ok", f"version {version} answers{_whose(settings, 'valkey')}")
    except RecsysError as error:
        return Finding("Redis", "broken", error.message, "recsys up")
    except redis.RedisError as error:
        return Finding(
            "Redis", "broken", f"does not answer: {error}", "recsys up, or correct RECSYS_REDIS__URL"
        )


def _writes(connection: Connection, found: str) -> Finding:
    refused = refusal_of_writes(connection)
    if refused is None:
        return Finding("PostgreSQL", "ok", found)
    remedy = "let it write again; posts are queued meanwhile"
    return Finding("PostgreSQL", "broken", f"{found}, but takes no writes: {refused}", remedy)


def _writes_really(url: str, connection: Connection, found: Finding) -> Finding:
    """Write a row and roll it back: a full disk shows in nothing else."""
    try:
        with reaching(url):
            connection.execute(_WRITE, {"id": uuid4()})
    except (DatabaseAway, SQLAlchemyError) as error:
        why = str(error).partition("\n")[0]
        remedy = "give it room, or its user the right; posts are queued meanwhile"
        return Finding("PostgreSQL", "broken", f"{found.found}, but takes no writes: {why}", remedy)
    finally:
        connection.rollback()
    return found


def _schema(url: str) -> Finding:
    schema = migrate.check(url)
    if schema.state == "current":
        return Finding("schema", "ok", f"revision {schema.current}, the newest")
    if schema.state == "empty":
        return Finding("schema", "broken", "the database is empty", "recsys migrate")
    if schema.state == "behind":
        found = f"revision {schema.current}, the newest is {schema.head}"
        return Finding("schema", "broken", found, "recsys migrate")
    found = f"revision {schema.current}, newer than this program ({schema.head})"
    if schema.usable:
        return Finding("schema", "ok", f"{found}, which may run on it")
    return Finding("schema", "broken", found, "run the newer version")


def _model(settings: Settings, connection: Connection) -> Finding:
    row = connection.execute(
        text(
            "SELECT name, last_trained_at, parameters ->> 'artifact', parameters ->> 'checksum' "
            "FROM recommendations_db.recommendation_models WHERE is_active ORDER BY id DESC LIMIT 1"
        )
    ).one_or_none()
    if row is None:
        return Finding(
            "model", "attention", "no model is active; popular products are served", "recsys train run --all"
        )
    name, trained, artifact, checksum = row
    fault = fault_of(settings, artifact or f"models/{name}", checksum)
    if fault is not None:
        return Finding(
            "model",
            "broken",
            f"{name} is active, but {fault}",
            "recsys train run --all, or recsys train promote NAME with another model of recsys train list",
        )
    return Finding("model", "ok", f"{name} is active, trained {ago(trained)}")


def _artifacts(settings: Settings, connection: Connection) -> Finding:
    """The newest artifact of each algorithm beside the active model, which has a finding of its own."""
    rows = connection.execute(_NEWEST_ARTIFACTS).all()
    for name, artifact, checksum in rows:
        fault = fault_of(settings, artifact, checksum)
        if fault is not None:
            remedy = f"restore it from a backup, or train it again: recsys train run --all ({name})"
            return Finding("artifacts", "attention", f"{name} cannot be loaded: {fault}", remedy)
    return Finding("artifacts", "ok", f"the checksums of {len(rows)} more models are right")


def _features(settings: Settings, connection: Connection) -> Finding:
    build = "recsys features build"
    try:
        snapshot = read_snapshot(settings)
    except SnapshotFault as error:
        return Finding("features", "broken", str(error), build)
    if snapshot is None:
        return Finding("features", "attention", "no snapshot was built yet", build)
    moment, built, events = snapshot.moment, snapshot.built_at, snapshot.events
    if not artifact_store(settings).has(f"datasets/{snapshot.folder.name}"):
        return Finding("features", "broken", f"the snapshot {snapshot.folder} is missing", build)
    found = f"{events:,} events up to {moment:%Y-%m-%d %H:%M}, built {ago(built)}"
    try:
        differences = skews(settings, connection, snapshot.folder)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Finding(
            "features", "broken", f"{found}; it cannot be compared with today ({type(error).__name__})", build
        )
    if differences:
        listed = "; ".join(each.found for each in differences)
        remedies = {each.remedy for each in differences}
        remedy = BUILD_AND_TRAIN if len(remedies) > 1 else remedies.pop()
        return Finding("features", "attention", f"{found}; {listed}", remedy)
    if snapshot.until is None:
        few = int(max(_FEW_EVENTS, _FEW_SHARE * events))
        newer = connection.execute(_NEWER, {"moment": moment, "most": few + 1}).scalar_one()
        if newer > few:
            return Finding("features", "attention", f"{found}; more than {few:,} events are newer", build)
    if clock.now() - built > _STALE_AFTER:
        return Finding("features", "attention", found, build)
    return Finding("features", "ok", found)


def _recommendations(settings: Settings, connection: Connection) -> Finding:
    score, part = "recsys serve score", "recommendations"
    row = connection.execute(
        text(
            "SELECT id, model_name, users, live_at FROM recommendations_db.recommendation_generations "
            "WHERE status = 'live'"
        )
    ).one_or_none()
    if row is None:
        return Finding(part, "attention", "none are stored; lists are computed per request", score)
    generation, model, users, live_at = row
    found = f"generation {generation} of {model} for {users or 0:,} users, {ago(live_at)}"
    if live_at is not None:
        ends = live_at + timedelta(hours=settings.serving.expires_after_hours)
        if ends < clock.now():
            return Finding(part, "attention", f"{found}, expired {ago(ends)}", score)
        found += f", expires {ends:%Y-%m-%d %H:%M}"
    active = connection.execute(
        text(
            "SELECT name FROM recommendations_db.recommendation_models WHERE is_active "
            "ORDER BY id DESC LIMIT 1"
        )
    ).scalar()
    if active is not None and active != model:
        return Finding(part, "attention", f"{found}; the active model is {active}", score)
    try:
        with connect(redis_url(settings)) as client:
            pointer: Any = client.get(keys.live_generation())
    except (redis.RedisError, RecsysError):
        return Finding(part, "attention", f"{found}; Redis does not answer", "mend Redis first")
    if pointer is None or pointer.decode(errors="replace") != str(generation):
        shown = "none" if pointer is None else pointer.decode(errors="replace")
        return Finding(
            part, "attention", f"{found}; Redis shows {shown}", f"{score}; a running API mends it too"
        )
    return Finding(part, "ok", found)


def _privacy(settings: Settings, connection: Connection) -> Finding:
    rows = connection.execute(_LATE_MODELS, {"now": clock.now()}).scalars().all()
    if not rows:
        return Finding("privacy", "ok", "no model is late that learned from an erased person")
    found = f"learned from an erased person and should have been replaced: {', '.join(rows)}"
    return Finding("privacy", "attention", found, "recsys train run --all, then recsys privacy retention")


_STORED: dict[str, Callable[[Settings, Connection], Finding]] = {
    "model": _model,
    "features": _features,
    "recommendations": _recommendations,
    "artifacts": _artifacts,
    "index": work.search_index,
    "events": work.events,
    "dead letters": work.dead_events,
    "write buffer": work.write_buffer,
    "schedules": work.schedules,
    "clock": machine.clocks,
    "privacy": _privacy,
}
_OF_RECOMMENDATIONS = frozenset({"model", "features", "recommendations", "artifacts", "privacy"})
"""The parts that read tables which may lie on a server of their own."""
