"""Retention: how long rows of each table are kept, and the job that deletes what is older."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.settings import Settings, get_settings

__all__ = ["RULES", "RetentionCount", "RetentionRule", "apply", "count"]

_MOST = 20_000
"""Rows of one transaction, so that years of rows do not become a long one."""


@dataclass(frozen=True)
class RetentionRule:
    """How long the rows of one table are kept.

    Attributes
    ----------
    moment
        Column from which the days count.
    setting
        Its name below `RECSYS_`.
    days
        Its value; None keeps rows for ever.
    condition
        Rows of which alone it holds, as SQL over the alias `t`.
    """

    table: str
    moment: str
    setting: str
    days: Callable[[Settings], float | None]
    condition: str = "true"

    @property
    def _older(self) -> str:
        return f"t.{self.moment} < :before AND ({self.condition})"

    def count(self, session: Session) -> int | None:
        """How many rows are older; None where they are kept for ever."""
        before = self._before()
        if before is None:
            return None
        query = text(f"SELECT count(*) FROM {self.table} t WHERE {self._older}")  # noqa: S608 constants
        return int(session.scalar(query, before) or 0)

    def apply(self) -> int:
        """Delete the older rows, a part in each transaction; how many."""
        before, deleted = self._before(), 0
        if before is None:
            return 0
        statement = text(
            f"DELETE FROM {self.table} WHERE ctid = ANY(ARRAY("  # noqa: S608 constants
            f"SELECT t.ctid FROM {self.table} t WHERE {self._older} LIMIT :most))"
        )
        while True:
            with unit_of_work() as session:
                done: Any = session.execute(statement, {**before, "most": _MOST})
            deleted += int(done.rowcount)
            if done.rowcount < _MOST:
                return deleted

    def _before(self) -> dict[str, Any] | None:
        days = self.days(get_settings())
        return None if days is None else {"before": clock.now() - timedelta(days=days)}


@dataclass(frozen=True)
class RetentionCount:
    """How many rows of a table are older than it keeps them, or were deleted; None: kept for ever."""

    table: str
    setting: str
    days: float | None
    rows: int | None


def _kept(table: str, moment: str) -> RetentionRule:
    """A rule of `privacy.retention_days`."""
    return RetentionRule(
        table,
        moment,
        f"PRIVACY__RETENTION_DAYS[{table}]",
        lambda settings: settings.privacy.retention_days.get(table),
    )


RULES: tuple[RetentionRule, ...] = (
    # the relay and the writer of impressions apply these by themselves as well
    RetentionRule(
        "recommendations_db.exposures",
        "shown_at",
        "INTAKE__EXPOSURE_DAYS",
        lambda settings: settings.intake.exposure_days,
    ),
    RetentionRule(
        "analytics_db.outbox",
        "sent_at",
        "EVENTS__OUTBOX_DAYS",
        lambda settings: settings.events.outbox_days,
    ),
    RetentionRule(
        "analytics_db.inbox",
        "handled_at",
        "EVENTS__INBOX_DAYS",
        lambda settings: settings.events.inbox_days,
    ),
    RetentionRule(
        "recommendations_db.guest_logins",
        "logged_in_at",
        "EVENTS__GUEST_LOGIN_DAYS",
        lambda settings: settings.events.guest_login_days,
    ),
    RetentionRule(
        "notifications_db.sent_notices",
        "created_at",
        "NOTIFICATIONS__NOTICE_DAYS",
        lambda settings: settings.notifications.notice_days,
    ),
    RetentionRule(
        "payments_db.payment_keys",
        "created_at",
        "PAYMENTS__KEY_DAYS",
        lambda settings: settings.payments.key_days,
        # what is not finished may still be repeated
        "NOT EXISTS (SELECT FROM payments_db.payments p WHERE p.id = t.payment_id "
        "AND p.status = 'pending') AND NOT EXISTS (SELECT FROM payments_db.refunds r "
        "WHERE r.id = t.refund_id AND r.status = 'pending')",
    ),
    RetentionRule(
        "analytics_db.job_runs",
        "ended_at",
        "JOBS__HISTORY_DAYS",
        lambda settings: settings.jobs.history_days,
    ),
    RetentionRule(
        "users_db.erased_identifiers",
        "erased_at",
        "PRIVACY__TOMBSTONE_DAYS",
        lambda settings: settings.privacy.tombstone_days,
    ),
    # this job alone applies these
    _kept("analytics_db.page_views", "timestamp"),
    _kept("analytics_db.user_events", "timestamp"),
    _kept("analytics_db.user_sessions", "start_time"),
    _kept("analytics_db.search_counts", "day"),
    _kept("products_db.product_view_history", "viewed_at"),
    _kept("orders_db.abandoned_carts", "abandoned_at"),
    _kept("notifications_db.email_logs", "created_at"),
    _kept("notifications_db.sms_logs", "created_at"),
    _kept("notifications_db.notifications", "created_at"),
    _kept("users_db.user_activities", "timestamp"),
    _kept("users_db.user_sessions", "expires_at"),
    _kept("users_db.account_tokens", "expires_at"),
    _kept("recommendations_db.user_interactions", "created_at"),
    _kept("recommendations_db.recommendation_feedback", "created_at"),
)
"""The rule of each table whose rows grow old."""


def count() -> list[RetentionCount]:
    """What `apply` would delete."""
    with unit_of_work() as session:
        return [_counted(rule, rule.count(session)) for rule in RULES]


def apply(rules: Sequence[RetentionRule] = RULES) -> list[RetentionCount]:
    """Delete what is older than it is kept; how many rows of each table."""
    return [_counted(rule, rule.apply()) for rule in rules]


def _counted(rule: RetentionRule, rows: int | None) -> RetentionCount:
    return RetentionCount(rule.table, rule.setting, rule.days(get_settings()), rows)
