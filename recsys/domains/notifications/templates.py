"""Templates in the table; those that recsys ships are inserted at their first use."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.notifications.defaults import DEFAULTS
from recsys.domains.notifications.tables import NotificationTemplate
from recsys.domains.notifications.templating import TemplateSource, check
from recsys.errors import Conflict, NotFound

__all__ = ["all_of", "change", "create", "get", "install_defaults", "source_of"]


def source_of(session: Session, name: str) -> tuple[TemplateSource, int]:
    """An active template and its id. Raises NotFound."""
    row = _named(session, name)
    if row is None and name in DEFAULTS:
        install_defaults(session, [name])
        row = _named(session, name)
    if row is None or row.is_active is False:
        raise NotFound(f"There is no active template {name!r}.")
    return _source(row), row.id


def install_defaults(session: Session, names: Sequence[str] | None = None) -> int:
    """Write templates of recsys that the table doesn't have; how many. Those that were edited stay."""
    wanted = [DEFAULTS[name] for name in names or DEFAULTS]
    added = session.scalars(
        insert(NotificationTemplate)
        .values(
            [
                {
                    "name": source.name,
                    "type": "order_update" if source.name.startswith(("order", "payment")) else "account",
                    "subject": source.subject,
                    "body_html": source.body_html,
                    "body_text": source.body_text,
                    "variables": dict(source.variables),
                    "created_at": clock.now(),
                }
                for source in wanted
            ]
        )
        .on_conflict_do_nothing(index_elements=[NotificationTemplate.name])
        .returning(NotificationTemplate.id)
    ).all()
    return len(added)


def all_of(session: Session) -> Sequence[NotificationTemplate]:
    """Every template, by name; those of recsys are there from now on."""
    install_defaults(session)
    return session.scalars(select(NotificationTemplate).order_by(NotificationTemplate.name)).all()


def get(session: Session, name: str) -> NotificationTemplate:
    """One template, active or not. Raises NotFound."""
    if name in DEFAULTS:
        install_defaults(session, [name])
    row = _named(session, name)
    if row is None:
        raise NotFound(f"There is no template {name!r}.")
    return row


def create(session: Session, source: TemplateSource, kind: str) -> NotificationTemplate:
    """Create a template. Raises Invalid for a template with errors, Conflict for a name that exists."""
    check(source)
    if source.name in DEFAULTS:
        raise Conflict(f"A template {source.name!r} exists; change it instead.")
    added: NotificationTemplate | None = session.scalar(
        insert(NotificationTemplate)
        .values(
            name=source.name,
            type=kind,
            subject=source.subject,
            body_html=source.body_html,
            body_text=source.body_text,
            variables=dict(source.variables),
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=[NotificationTemplate.name])
        .returning(NotificationTemplate)
    )
    if added is None:
        raise Conflict(f"A template {source.name!r} exists; change it instead.")
    return added


def change(session: Session, source: TemplateSource, *, is_active: bool) -> NotificationTemplate:
    """Replace the parts of a template. Raises NotFound, Invalid for a template with errors."""
    row = get(session, source.name)
    check(source)
    row.subject, row.body_html, row.body_text = source.subject, source.body_html, source.body_text
    row.variables, row.is_active, row.updated_at = dict(source.variables), is_active, clock.now()
    return row


def _named(session: Session, name: str) -> NotificationTemplate | None:
    return session.scalars(
        select(NotificationTemplate).where(NotificationTemplate.name == name)
    ).one_or_none()


def _source(row: NotificationTemplate) -> TemplateSource:
    return TemplateSource(row.name, row.subject, row.body_html, row.body_text, row.variables or {})
