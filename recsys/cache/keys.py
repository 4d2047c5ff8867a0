"""Every Redis key and stream, as a function of what identifies it; nobody else spells a key.

The first line of each docstring opens with the key's Redis type. The documented ones come first, in the
document's order; those of our own follow. In Redis Cluster those of our own carry a tag where they change
together with another key; documented ones keep their names.
"""

from __future__ import annotations

import hashlib

from recsys.cache import slots
from recsys.settings import get_settings

# --- users ---------------------------------------------------------------------------------------


def user(user_id: int) -> str:
    """Hash: the profile of one user."""
    return f"user:{user_id}"


def user_by_email(email: str) -> str:
    """String: the user id that belongs to an e-mail address."""
    return f"user:email:{email}"


def user_by_username(username: str) -> str:
    """String: the user id that belongs to a user name."""
    return f"user:username:{username}"


# --- products ------------------------------------------------------------------------------------


def product(product_id: int) -> str:
    """Hash: the data of one product."""
    return f"product:{product_id}"


def product_inventory(product_id: int) -> str:
    """String: how many pieces are in stock."""
    return f"product:inventory:{product_id}"


def product_views(product_id: int) -> str:
    """Sorted Set: the moments at which the product was viewed."""
    return f"product:views:{product_id}"


# --- carts ---------------------------------------------------------------------------------------


def cart(user_id: int) -> str:
    """Hash: the items in a user's cart."""
    return f"cart:{user_id}"


def guest_cart(session_id: str) -> str:
    """Hash: the items in a guest's cart."""
    return f"cart:session:{session_id}"


def cart_analytics() -> str:
    """Stream: what happens to carts, for analytics."""
    return "cart:analytics"


# --- search --------------------------------------------------------------------------------------


def search_results(query: str) -> str:
    """String: the results of one query as JSON; the query is hashed (SHA-256), so it may be of any length."""
    return f"search:{hashlib.sha256(query.encode()).hexdigest()}"


def search_suggestions(prefix: str) -> str:
    """List: completions of what was typed so far."""
    return f"search:suggestions:{prefix}"


# --- sessions ------------------------------------------------------------------------------------


def session(session_id: str) -> str:
    """Hash: the data of one session."""
    return f"session:{session_id}"


def user_sessions(user_id: int) -> str:
    """Set: the ids of a user's sessions."""
    return f"session:user:{user_id}"


# --- live data -----------------------------------------------------------------------------------


def online_users() -> str:
    """Set: the ids of users who are online."""
    return "online_users"


def trending_products() -> str:
    """Sorted Set: product ids by their views of late."""
    return "trending_products"


def live_orders() -> str:
    """Stream: order updates as they happen."""
    return "live_orders"


def notifications(user_id: int) -> str:
    """List: a user's notifications."""
    return f"notifications:{user_id}"


# --- event streams -------------------------------------------------------------------------------


def user_events() -> str:
    """Stream: user activities, profile updates."""
    return "user_events"


def product_events() -> str:
    """Stream: product updates, inventory changes."""
    return "product_events"


def order_events() -> str:
    """Stream: order status changes, new orders."""
    return "order_events"


def payment_events() -> str:
    """Stream: payment processing, refunds."""
    return "payment_events"


def notification_events() -> str:
    """Stream: email, SMS, push notifications."""
    return "notification_events"


def cart_events() -> str:
    """Stream: cart updates, abandonment."""
    return "cart_events"


def search_events() -> str:
    """Stream: search queries, result clicks."""
    return "search_events"


def analytics_events() -> str:
    """Stream: page views, user events."""
    return "analytics_events"


# --- of our own ----------------------------------------------------------------------------------


def live_generation() -> str:
    """String: the id of the generation of stored recommendations that is shown now."""
    return "recommendations:generation"


def stored_recommendations(generation: int, user_id: int | str) -> str:
    """String: one user's stored list of one generation, in binary; expires with the generation."""
    # in a cluster beside `recent_interactions` of the same user: both are read in one trip
    if get_settings().redis.is_cluster:
        return f"recommendations:{generation}:{{{user_id}}}"
    return f"recommendations:{generation}:{user_id}"


def stored_shared_list(generation: int, placement: str, subject: str, models: str) -> str:
    """String: a list that is the same for everybody, as `stored_recommendations`; expires with it.

    Parameters
    ----------
    generation
        Id of the generation that the list is of.
    placement
        The kind of list, such as `similar`.
    subject
        What the list is of, such as a product.
    models
        A fingerprint of the models that the list is made by.
    """
    return f"recommendations:{generation}:{placement}:{subject}:{models}"


def recent_interactions(user_id: int) -> str:
    """Set: ids of products the user touched since the last scoring; expires."""
    if get_settings().redis.is_cluster:
        return f"interactions:recent:{{{user_id}}}"
    return f"interactions:recent:{user_id}"


def cart_id(owner: str) -> str:
    """String: the id of an owner's cart, new after each order, so that one cart is ordered once."""
    kind, _, value = owner.partition(":")
    return f"cart:id:{slots.beside(guest_cart(value) if kind == 'session' else f'cart:{value}') or owner}"


def changed_carts() -> str:
    """Sorted Set: owners of carts (`user:5`, `session:abc`) by when the cart last changed."""
    return "carts:changed"


def cart_ordered(order_id: int, cart_key: str) -> str:
    """String: that the cart of this order was emptied; expires."""
    beside = slots.beside(cart_key)
    return f"cart:ordered:{beside}:{order_id}" if beside else f"cart:ordered:{order_id}"


def cart_moving(cart_key: str, owner: str) -> str:
    """Hash: a guest's cart on its way to a user's on another server of a cluster."""
    return f"cart:moving:{slots.beside(cart_key)}:{owner}"


def cart_moved(cart_key: str, guest: str) -> str:
    """String: which move of a guest's cart has come into this cart; expires."""
    return f"cart:moved:{slots.beside(cart_key)}:{guest}"


def login_failures(kind: str, who: str) -> str:
    """String: how many log-ins failed, or mails were sent, of late, for a hashed name or address; expires."""
    return f"login:failures:{kind}:{hashlib.sha256(who.encode()).hexdigest()}"


def dead_letters(stream: str) -> str:
    """Stream: events of `stream` that a group could not handle, with the error, until they are replayed."""
    return f"{slots.beside(stream) or stream}:dead"


def set_aside(key: str, mark: str) -> str:
    """Any: what stood under `key` and was no stream as it should be, kept for people to look at."""
    return f"{slots.beside(key) or key}:set-aside:{mark}"


def relayed() -> str:
    """String: when the newest batch of the outbox came here; Redis without it has lost what it was sent."""
    return "events:relayed"


def notifications_epoch(user_id: int) -> str:
    """String: counted up at each change of a user's notifications, so that no reader stores old ones."""
    return f"notifications:epoch:{slots.beside(notifications(user_id)) or user_id}"


def product_epoch(product_id: int, kept: str) -> str:
    """String: counted up at each change of a product, so that no reader stores an old one; expires.

    Parameters
    ----------
    product_id
        The product.
    kept
        The key that is stored, which has an epoch of its own in a cluster.
    """
    return f"product:epoch:{slots.beside(kept) or product_id}"


def trending_landmark() -> str:
    """String: the moment (seconds) at which a view adds one to `trending_products`; later ones add more."""
    return f"trending:landmark{slots.beside(trending_products())}"


def search_epoch() -> str:
    """String: counted up at each change of what can be searched, so that no reader keeps an old answer."""
    return "search:epoch"


def recent_session_interactions(session_id: str) -> str:
    """Set: the same as `recent_interactions` of a guest's session; one with a long id is hashed; expires."""
    short = session_id if len(session_id) <= 64 else hashlib.sha256(session_id.encode()).hexdigest()
    return f"interactions:recent:session:{short}"


def exposures_waiting() -> str:
    """Stream: batches of answered lists on their way to PostgreSQL."""
    return "exposures:waiting"


def recent_exposures(period: int) -> str:
    """Hash: the answered lists of a few seconds by request id, for feedback that is quicker; expires."""
    return f"exposures:recent:{period}"


def posts_waiting() -> str:
    """Stream: interactions and feedback that PostgreSQL could not take yet."""
    return "posts:waiting"


def rate_limit(kind: str, who: str) -> str:
    """String: when the bucket of an API key or an address (hashed) is full again; expires then."""
    return f"limit:{kind}:{hashlib.sha256(who.encode()).hexdigest()}"


def search_popularity() -> str:
    """String: which interactions count as popularity in the index (until when), and when that was done."""
    return "search:popularity"


def own_ids_version() -> str:
    """String: replaced at each change of a SKU, username, slug or name, so that no cache keeps an old one."""
    return "own_ids:version"


def refused_events(day: str) -> str:
    """Hash: how many posted events of one day (UTC) were refused, by kind and reason."""
    return f"posts:refused:{day}"


def refused_personalisation(owner: str) -> str:
    """String: that a user or guest (`user:5`, `session:abc`) refuses lists from their own behaviour."""
    return f"consent:refused:{owner}"


def mail_block(block: str, variant: str) -> str:
    """String: the products of one block of a mail, once it was opened, as JSON without the person; expires.

    Parameters
    ----------
    block
        A digest of the block's address.
    variant
        `personal` or `popular`.
    """
    return f"mail:block:{block}:{variant}"


def mail_block_requests(block: str, minute: int) -> str:
    """String: how many requests one block of a mail got in one minute; expires."""
    return f"mail:requests:{block}:{minute}"
