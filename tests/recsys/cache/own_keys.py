"""The keys of Redis that are no documented ones."""

from __future__ import annotations

OWN = {
    "refused_personalisation",
    "refused_events",
    "login_failures",
    "live_generation",
    "stored_recommendations",
    "stored_shared_list",
    "recent_interactions",
    "dead_letters",
    "set_aside",
    "relayed",
    "cart_id",
    "changed_carts",
    "cart_ordered",
    "cart_moving",
    "cart_moved",
    "notifications_epoch",
    "product_epoch",
    "trending_landmark",
    "search_epoch",
    "search_popularity",
    "rate_limit",
    "recent_session_interactions",
    "exposures_waiting",
    "recent_exposures",
    "posts_waiting",
    "own_ids_version",
    "mail_block",
    "mail_block_requests",
}
