"""Settings of privacy: when models are trained again after an erasure, and how long rows are kept."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

__all__ = ["RETENTION_TABLES", "PrivacySettings"]

RETENTION_TABLES = (
    "analytics_db.page_views",
    "analytics_db.search_counts",
    "analytics_db.user_events",
    "analytics_db.user_sessions",
    "notifications_db.email_logs",
    "notifications_db.notifications",
    "notifications_db.sms_logs",
    "orders_db.abandoned_carts",
    "products_db.product_view_history",
    "recommendations_db.recommendation_feedback",
    "recommendations_db.user_interactions",
    "users_db.account_tokens",
    "users_db.user_activities",
    "users_db.user_sessions",
)
"""The tables that `retention_days` may name."""


class PrivacySettings(BaseModel, extra="forbid"):
    """What people may ask of the shop about themselves.

    Attributes
    ----------
    retrain_days
        Models that learned from an erased person are to be trained again within so many days; `recsys doctor`
        says which are late.
    tombstone_days
        Late events of an erased person are recognised and dropped for so long.
    retention_days
        Days by table, such as {"analytics_db.page_views": 90}, which replace the defaults; rows of tables
        that it does not name are kept. The job `retention` deletes what is older.
    """

    retrain_days: float = Field(default=30.0, gt=0)
    tombstone_days: float = Field(default=400.0, ge=31)
    retention_days: dict[str, float] = Field(
        default={
            "analytics_db.page_views": 395.0,
            "analytics_db.user_events": 395.0,
            "analytics_db.user_sessions": 395.0,
            "notifications_db.email_logs": 395.0,
            "notifications_db.sms_logs": 395.0,
            "orders_db.abandoned_carts": 180.0,
            "products_db.product_view_history": 395.0,
            "users_db.account_tokens": 30.0,
            "users_db.user_activities": 395.0,
            "users_db.user_sessions": 30.0,
        }
    )

    @field_validator("retention_days")
    @classmethod
    def _names_tables(cls, days: dict[str, float]) -> dict[str, float]:
        for table, kept in days.items():
            if table not in RETENTION_TABLES:
                raise ValueError(f"names one of the tables {', '.join(RETENTION_TABLES)}")
            if not 1 <= kept < 36_500:
                raise ValueError(f"the days of {table} are a number from 1 to 36500")
        return days
