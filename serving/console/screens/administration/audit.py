"""The audit: who changed what of the shop's recommendations, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.users import activities
from recsys.domains.users.api_keys import service as api_keys
from recsys.jobs import service as jobs
from recsys.jobs.catalogue import JOBS
from recsys.search.synonyms import service as synonyms
from serving.console.access import Operator
from serving.console.navigation import SCREENS
from serving.console.rendering import TEMPLATES, screen_router

__all__ = ["AuditContent", "router"]

router = screen_router("audit")
KINDS = {
    "models": "Models and experiments",
    "rules": "Rules",
    "synonyms": "Synonyms",
    "staff": "Staff",
    "keys": "Keys",
    "jobs": "Jobs",
}
_MOST = 200
_RULES = next((link.path for link in SCREENS if link.path == "/console/rules"), None)
"""The screen of rules, where there is one."""
_STAFF_ACTIVITIES = ("role_granted", "role_withdrawn", "demote", "account_blocked", "reopen")


class AuditEntry(BaseModel):
    """One change.

    Attributes
    ----------
    href
        The page of what was changed.
    """

    at: datetime
    kind: str
    kind_words: str
    actor: str
    change: str
    details: str
    href: str | None


class AuditContent(BaseModel):
    """The content of the screen."""

    kind: str | None
    kinds: dict[str, str]
    entries: list[AuditEntry]


@router.get("")
def audit(
    request: Request, user: Operator, kind: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    """All changes, or those of one kind."""
    with unit_of_work() as session:
        entries = [
            entry for name, read in _READERS.items() if kind in (None, name) for entry in read(session)
        ]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    content = AuditContent(kind=kind, kinds=KINDS, entries=entries[:_MOST])
    return TEMPLATES.page(request, "console/audit.html.j2", content)


def _entry(at: datetime, kind: str, actor: str, change: str, details: str, href: str | None) -> AuditEntry:
    return AuditEntry(
        at=at, kind=kind, kind_words=KINDS[kind], actor=actor, change=change, details=details, href=href
    )


def _models(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            row.created_at,
            "models",
            row.actor or "–",
            f"{row.action.replace('_', ' ')} {row.to_name}",
            row.reason or "",
            f"/console/models/{row.to_name}",
        )
        for row in registry.history(session)[:_MOST]
    ]


def _rules(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            row.changed_at,
            "rules",
            row.actor,
            f"rule {row.rule_id} {row.action}",
            _difference(row.before, row.after),
            _RULES if row.action != "deleted" else None,
        )
        for row in rules.latest_changes(session, limit=_MOST)
    ]


def _synonyms(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            row.changed_at,
            "synonyms",
            row.actor,
            f"synonyms {row.synonym_id} {row.action}",
            " → ".join(", ".join(each) for each in (row.before, row.after) if each),
            None,
        )
        for row in synonyms.latest_changes(session, limit=_MOST)
    ]


def _staff(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            row.timestamp,
            "staff",
            str((row.details or {}).get("by", "–")),
            f"user {row.user_id}: {row.activity_type.replace('_', ' ')}",
            str((row.details or {}).get("role", "")),
            "/console/staff",
        )
        for row in activities.latest_of_kinds(session, _STAFF_ACTIVITIES, limit=_MOST)
        if row.timestamp is not None
    ]


def _keys(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            change.changed_at,
            "keys",
            change.actor,
            f"key {key.prefix} ({key.name}) {change.action}",
            ", ".join(key.origins or key.scopes),
            "/console/keys",
        )
        for change, key in api_keys.latest_changes(session, limit=_MOST)
    ]


def _jobs(session: Session) -> list[AuditEntry]:
    return [
        _entry(
            run.due_at,
            "jobs",
            run.requested_by,
            f"started “{JOBS[run.job].title if run.job in JOBS else run.job}”",
            f"{run.state}: {run.outcome}" if run.outcome else run.state,
            f"/console/jobs/{run.id}",
        )
        for run in jobs.history(session, limit=_MOST)
        if run.requested_by is not None
    ]


_READERS = {
    "models": _models,
    "rules": _rules,
    "synonyms": _synonyms,
    "staff": _staff,
    "keys": _keys,
    "jobs": _jobs,
}


def _difference(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """The fields that differ, such as "boost: 1.2 → 1.5"."""
    if before is None or after is None:
        whole = before or after or {}
        return ", ".join(f"{name}: {value}" for name, value in whole.items() if value not in (None, [], ""))[
            :400
        ]
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in changed)[:400]
