"""What of a person stands in which table, and what an erasure does with it; every table is in here.

A table has one place or more (its rows may be the person's own, or only name them), or stands in NOT_PERSONAL
with the reason. A test walks over all tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from recsys.privacy.person import ERASED_ACTOR, PARAMETERS, Person

__all__ = ["NOT_PERSONAL", "ROWS_AT_ONCE", "TABLE_PLACES", "TablePlace"]

ROWS_AT_ONCE = 500
"""Rows of a table that an export has in memory."""

_USER = "t.user_id = :user"
# a guest session may have been a person's until they logged in; rows of other users are theirs
_VISITOR = "(t.user_id = :user OR (t.user_id IS NULL AND t.session_id = ANY(:sessions)))"


@dataclass(frozen=True)
class TablePlace:
    """Rows of one table.

    Attributes
    ----------
    condition
        SQL over the alias `t` and the parameters of `recsys.privacy.person.PARAMETERS`.
    cleared
        SQL expressions by column, for rows that stay without the person; empty: the rows are deleted.
    hidden
        Columns that an export leaves out: secrets, and what is computed from the others.
    part
        What distinguishes the places of one table.
    is_exported
        False where the rows are another user's, or are found by what the person has not proven.
    """

    table: str
    condition: str
    cleared: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    part: str = ""
    is_exported: bool = True

    @property
    def name(self) -> str:
        """Of the place, in receipts and exports."""
        return f"{self.table}:{self.part}" if self.part else self.table

    @property
    def outcome(self) -> Literal["removed", "anonymised"]:
        """What becomes of the rows."""
        return "anonymised" if self.cleared else "removed"

    def count(self, session: Session, person: Person) -> int:
        """How many rows there are."""
        query = f"SELECT count(*) FROM {self.table} t WHERE {self.condition}"  # noqa: S608 constants
        return int(session.scalar(_bound(query), person.parameters) or 0)

    def rows(self, session: Session, person: Person) -> Iterator[dict[str, Any]]:
        """The rows as JSON objects, without the hidden columns; none of a place that is not exported.

        PostgreSQL keeps them; `ROWS_AT_ONCE` of them are in memory.
        """
        if not self.is_exported:
            return
        query = f"SELECT to_jsonb(t) FROM {self.table} t WHERE {self.condition}"  # noqa: S608 constants
        rows = session.scalars(
            _bound(query), person.parameters, execution_options={"yield_per": ROWS_AT_ONCE}
        )
        for row in rows:
            yield {name: value for name, value in row.items() if name not in self.hidden}

    def erase(self, session: Session, person: Person) -> int:
        """Delete or clear the rows; how many."""
        if self.cleared:
            changes = ", ".join(f"{column} = {value}" for column, value in self.cleared.items())
            # a row that is cleared already is not counted again
            same = " AND ".join(
                f"t.{column} IS NOT DISTINCT FROM ({value})" for column, value in self.cleared.items()
            )
            statement = f"UPDATE {self.table} t SET {changes} WHERE ({self.condition}) AND NOT ({same})"  # noqa: S608
        else:
            statement = f"DELETE FROM {self.table} t WHERE {self.condition}"  # noqa: S608 constants
        done: Any = session.execute(_bound(statement), person.parameters)
        return int(done.rowcount)


def _bound(statement: str) -> TextClause:
    clause = text(statement)
    return clause.bindparams(*(each for each in PARAMETERS if re.search(rf":{each.key}\b", statement)))


def _nulls(*columns: str) -> dict[str, str]:
    return dict.fromkeys(columns, "NULL")


def _history(table: str, *columns: str) -> TablePlace:
    """The columns of a history that name an administrator."""
    condition = " OR ".join(f"t.{column} = :actor" for column in columns)
    cleared = {
        column: f"CASE WHEN t.{column} = :actor THEN '{ERASED_ACTOR}' ELSE t.{column} END"
        for column in columns
    }
    return TablePlace(table, condition, cleared, part="actor")


def _list_without(column: str) -> str:
    return f"array_remove(t.{column}, :user)"


_ORDERS = "t.user_id = :user OR t.id = ANY(:orders)"
_OF_ORDER = "t.order_id = ANY(:orders)"
_OF_PAYMENT = "t.payment_id = ANY(:payments)"
_OWNER = "t.owner = ANY(:owners)"
_GUEST_FEEDBACK = (
    "t.user_id = :user OR (t.user_id IS NULL AND t.id IN (SELECT feedback_id "
    "FROM recommendations_db.feedback_exposures WHERE session_id = ANY(:sessions)))"
)
_RULE_VERSION = "t.actor = :actor OR t.before ->> 'created_by' = :actor OR t.after ->> 'created_by' = :actor"
_OTHERS_LISTS = "t.user_id <> :user AND (:user = ANY(t.followers || t.following || t.blocked))"


def _waiting(column: str) -> str:
    messages = "notifications_db.outgoing_messages"
    return f"t.id IN (SELECT {column} FROM {messages} WHERE user_id = :user)"  # noqa: S608 constants


def _has_copy(column: str) -> str:
    return f"EXISTS (SELECT FROM unnest(t.{column}) AS c(email) WHERE lower(c.email) = ANY(:emails))"


def _without_copy(column: str) -> str:
    others = f"SELECT c.email FROM unnest(t.{column}) AS c(email) WHERE lower(c.email) <> ALL(:emails)"  # noqa: S608
    return f"NULLIF(ARRAY({others}), '{{}}')"


TABLE_PLACES: tuple[TablePlace, ...] = (
    # what waits is known by its user; its row goes with the row of its log
    TablePlace("notifications_db.email_logs", _waiting("email_log_id"), part="waiting"),
    TablePlace("notifications_db.sms_logs", _waiting("sms_log_id"), part="waiting"),
    TablePlace("notifications_db.email_logs", "lower(t.to_email) = ANY(:emails)"),
    TablePlace(
        "notifications_db.email_logs",
        f"({_has_copy('cc_email')}) OR ({_has_copy('bcc_email')})",
        {column: _without_copy(column) for column in ("cc_email", "bcc_email")},
        part="copies",
        is_exported=False,
    ),
    TablePlace("notifications_db.sms_logs", "t.phone_number = ANY(:phones)", is_exported=False),
    TablePlace("notifications_db.outgoing_messages", _USER, hidden=frozenset({"body_text", "body_html"})),
    TablePlace("notifications_db.notifications", _USER),
    TablePlace("notifications_db.notification_preferences", _USER),
    TablePlace(
        "notifications_db.sent_notices",
        "EXISTS (SELECT FROM unnest(:notices) AS n(ending) "
        "WHERE right(lower(t.key), length(n.ending)) = n.ending)",
    ),
    # what was seen and done
    TablePlace("analytics_db.page_views", _VISITOR),
    TablePlace("analytics_db.user_events", _VISITOR),
    TablePlace("analytics_db.user_sessions", _VISITOR),
    TablePlace(
        "analytics_db.outbox",
        "t.data ->> 'user_id' = :user_text "
        "OR (t.data ->> 'user_id' IS NULL AND (t.data ->> 'session_id' = ANY(:sessions) "
        "OR t.data ->> 'guest_session_id' = ANY(:sessions)))",
    ),
    TablePlace(
        "analytics_db.outbox",
        "t.data ->> 'target_id' = :user_text AND t.data ->> 'user_id' IS DISTINCT FROM :user_text",
        part="of others",
        is_exported=False,
    ),
    TablePlace("products_db.product_view_history", _VISITOR),
    TablePlace("recommendations_db.recommendation_feedback", _GUEST_FEEDBACK),
    TablePlace("recommendations_db.user_interactions", _VISITOR),
    TablePlace("recommendations_db.exposures", _VISITOR),
    TablePlace("recommendations_db.guest_logins", _USER),
    TablePlace(
        "recommendations_db.guest_logins",
        "t.session_id = ANY(:sessions)",
        part="of others",
        is_exported=False,
    ),
    TablePlace("recommendations_db.user_preferences", _USER),
    TablePlace("recommendations_db.segment_members", _USER),
    # a segment of users who are like the person
    TablePlace(
        "recommendations_db.segments",
        "t.definition -> 'user_ids' @> to_jsonb(:user)",
        {
            "definition": "jsonb_set(t.definition, '{user_ids}', (SELECT coalesce(jsonb_agg(u.id), '[]') "
            "FROM jsonb_array_elements(t.definition -> 'user_ids') AS u (id) WHERE u.id <> to_jsonb(:user)))"
        },
        part="like",
        is_exported=False,
    ),
    # while the user is there, the deletion of a list publishes nothing (migration 0009)
    TablePlace("recommendations_db.stored_lists", _USER, hidden=frozenset({"list"})),
    TablePlace("recommendations_db.retired_recommendations", _USER),
    TablePlace("recommendations_db.product_recommendations", _USER),
    # what the law makes a shop keep: amounts, products and moments, without the person
    TablePlace("payments_db.payment_attempts", _OF_PAYMENT, _nulls("gateway_response", "failure_reason")),
    TablePlace("payments_db.fraud_flags", _OF_PAYMENT),
    TablePlace("payments_db.fraud_flags", "t.resolved_by = :user", _nulls("resolved_by"), part="actor"),
    TablePlace("payments_db.refunds", _OF_PAYMENT, _nulls("reason", "gateway_response")),
    TablePlace("payments_db.refunds", "t.processed_by = :user", _nulls("processed_by"), part="actor"),
    TablePlace("payments_db.payment_tokens", _OF_PAYMENT, hidden=frozenset({"token"})),
    TablePlace("payments_db.payment_keys", f"{_OWNER} OR {_OF_PAYMENT}"),
    TablePlace(
        "payments_db.payments",
        "t.id = ANY(:payments)",
        _nulls("payment_method_id", "gateway_response", "failure_reason"),
    ),
    TablePlace("payments_db.payment_methods", _USER, hidden=frozenset({"gateway_id"})),
    TablePlace("orders_db.shipping_addresses", f"{_USER} OR {_OF_ORDER}"),
    TablePlace("orders_db.order_status_history", _OF_ORDER, _nulls("notes")),
    TablePlace("orders_db.order_status_history", _USER, _nulls("user_id"), part="actor"),
    TablePlace(
        "orders_db.order_tracking",
        _OF_ORDER,
        _nulls("tracking_number", "tracking_url", "current_location"),
    ),
    TablePlace("orders_db.checkouts", f"{_OWNER} OR {_OF_ORDER}"),
    TablePlace("orders_db.abandoned_carts", _VISITOR),
    TablePlace(
        "orders_db.orders",
        _ORDERS,
        _nulls("user_id", "email", "notes", "internal_notes", "cancel_reason"),
    ),
    # the account, and what others see of it
    TablePlace("products_db.review_votes", _USER),
    TablePlace("products_db.product_reviews", _USER),
    TablePlace("products_db.inventory_logs", _USER, _nulls("user_id"), part="actor"),
    TablePlace(
        "users_db.user_social",
        _OTHERS_LISTS,
        {column: _list_without(column) for column in ("followers", "following", "blocked")},
        part="lists of others",
        is_exported=False,
    ),
    TablePlace("users_db.user_social", _USER),
    TablePlace(
        "users_db.user_activities",
        "t.user_id <> :user AND t.metadata ->> 'by' = :actor",
        {"metadata": f"jsonb_set(t.metadata, '{{by}}', '\"{ERASED_ACTOR}\"')"},
        part="actor",
        is_exported=False,
    ),
    TablePlace(
        "users_db.user_activities",
        "t.user_id <> :user AND t.metadata ->> 'target_id' = :user_text",
        {"metadata": "t.metadata - 'target_id'"},
        part="of others",
        is_exported=False,
    ),
    TablePlace("users_db.user_activities", _USER),
    TablePlace("users_db.user_profiles", _USER),
    TablePlace("users_db.user_sessions", _USER, hidden=frozenset({"session_id"})),
    TablePlace("users_db.account_tokens", _USER, hidden=frozenset({"token_hash"})),
    TablePlace("users_db.consents", _OWNER),
    TablePlace("users_db.staff_roles", _USER),
    _history("users_db.staff_roles", "granted_by"),
    _history("users_db.api_key_changes", "actor"),
    TablePlace("users_db.user_search", _USER, hidden=frozenset({"words", "names"})),
    # histories of the console
    _history("analytics_db.job_runs", "requested_by", "stop_requested_by"),
    TablePlace(
        "analytics_db.job_runs",
        "t.outcome = 'stopped by ' || :actor OR t.outcome = 'stopped by ' || :actor || ' before it began'",
        {"outcome": f"replace(t.outcome, :actor, '{ERASED_ACTOR}')"},
        part="outcome",
    ),
    _history("recommendations_db.model_promotions", "actor"),
    _history("recommendations_db.ab_tests", "started_by", "ended_by"),
    _history("recommendations_db.business_rules", "created_by"),
    _history("recommendations_db.segments", "created_by"),
    TablePlace(
        "recommendations_db.business_rule_changes",
        _RULE_VERSION,
        {
            "actor": f"CASE WHEN t.actor = :actor THEN '{ERASED_ACTOR}' ELSE t.actor END",
            **{
                column: f"CASE WHEN t.{column} ->> 'created_by' = :actor THEN "
                f"jsonb_set(t.{column}, '{{created_by}}', '\"{ERASED_ACTOR}\"') ELSE t.{column} END"
                for column in ("before", "after")
            },
        },
        part="actor",
    ),
    _history("products_db.search_synonyms", "created_by"),
    _history("products_db.search_synonym_changes", "actor"),
    # last: other tables refer to it
    TablePlace("users_db.users", "t.id = :user", hidden=frozenset({"password_hash"})),
)
"""All places in tables, in the order of an erasure."""

_BY_THEIR_ROW = "its row goes with the row that it refers to"
_CATALOGUE = "the catalogue"
_COUNTS = "counts of all visitors together, without anybody's name"
NOT_PERSONAL: Mapping[str, str] = MappingProxyType(
    {
        "analytics_db.bot_hits": _COUNTS,
        "analytics_db.collected_events": _BY_THEIR_ROW,
        "analytics_db.import_runs": _COUNTS,
        "analytics_db.inbox": "ids of events",
        "analytics_db.product_metrics": _COUNTS,
        "analytics_db.sales_metrics": _COUNTS,
        "analytics_db.search_clicks": _COUNTS,
        "analytics_db.search_counts": "texts that were searched for, counted by day without their searchers; "
        "an erasure takes off what the stream of searches still knows of the person",
        "notifications_db.notification_templates": "texts of the shop",
        "orders_db.order_items": "products of an order, whose row loses the person",
        "payments_db.webhook_events": "ids of the gateway's messages",
        "products_db.brands": _CATALOGUE,
        "products_db.categories": _CATALOGUE,
        "products_db.product_embeddings": _CATALOGUE,
        "products_db.product_images": _CATALOGUE,
        "products_db.product_pages": _CATALOGUE,
        "products_db.product_search": _CATALOGUE,
        "products_db.product_variants": _CATALOGUE,
        "products_db.products": _CATALOGUE,
        "products_db.search_words": _CATALOGUE,
        "recommendations_db.category_policies": _CATALOGUE,
        "recommendations_db.feedback_events": _BY_THEIR_ROW,
        "recommendations_db.feedback_exposures": _BY_THEIR_ROW,
        "recommendations_db.feedback_of_retired": _BY_THEIR_ROW,
        "recommendations_db.shared_lists": "products of lists that are the same for everybody",
        "recommendations_db.generation_periods": "moments of generations",
        "recommendations_db.interaction_events": _BY_THEIR_ROW,
        "recommendations_db.measurements": _COUNTS,
        "recommendations_db.models_to_retrain": "names of models",
        "recommendations_db.recommendation_generations": _COUNTS,
        "recommendations_db.recommendation_models": "figures of models; their files are a place of their own",
        "users_db.api_keys": "keys of programs, without an owner",
        "users_db.erased_identifiers": "keyed hashes, by which late events of erased people are recognised",
    }
)
"""Tables without a place, and why."""
