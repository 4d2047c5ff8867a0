"""Which handlers receive which event, in their order, and which function stores which queued posts."""

from __future__ import annotations

from recsys.domains.analytics import service as analytics
from recsys.domains.analytics.handlers import adopt_visits, count_cart, count_order, recount_order
from recsys.domains.notifications.account_mails import (
    notify_of_email,
    notify_of_password,
    send_account_token,
    tell_of_registration,
    welcome,
)
from recsys.domains.notifications.handlers import (
    remind_of_cart,
    remind_of_product,
    tell_of_order,
    tell_staff,
)
from recsys.domains.orders.expiry import expire_unpaid
from recsys.domains.orders.handlers import bring_cart_along, empty_ordered_cart, tell_live_orders
from recsys.domains.payments.handlers import give_back
from recsys.domains.products import views
from recsys.domains.products.handlers import adopt_views, forget_product, settle_view, verify_reviews
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.handlers import (
    adopt_interactions,
    remember_cart,
    remember_like,
    remember_purchase,
    remember_review,
    remember_search_click,
    remember_view,
)
from recsys.domains.recommendations.interactions import ingest as interactions
from recsys.domains.users.handlers import forget_changed
from recsys.events.envelope import Handler
from recsys.events.periodic import Job
from recsys.events.vocabulary import (
    AccountTokenRequested,
    BrandChanged,
    CartAbandoned,
    CartItemAdded,
    CategoryChanged,
    EmailChanged,
    Event,
    FraudFlagged,
    InteractionsRecorded,
    InventoryChanged,
    OrderCancelled,
    OrderDelivered,
    OrderExpired,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReturned,
    OrderShipped,
    OrderStatusChanged,
    PasswordChanged,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentVoided,
    PreferencesChanged,
    PriceChanged,
    ProductCreated,
    ProductDeleted,
    ProductLiked,
    ProductReminderDue,
    ProductUpdated,
    ProductViewed,
    ProfileUpdated,
    RefundFailed,
    RegistrationRepeated,
    ReviewApproved,
    ReviewPosted,
    SearchPerformed,
    SearchResultClicked,
    UserBlocked,
    UserDeactivated,
    UserFollowed,
    UserLoggedIn,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
    VoidFailed,
)
from recsys.jobs.runner import RUNNER
from recsys.privacy.deleted_users import drop_references_of_deleted
from recsys.search.handlers import (
    count_click,
    count_search,
    drop_product,
    follow_popularity,
    refresh_brand,
    refresh_category,
    refresh_product,
    refresh_user,
)
from recsys.write_buffer.buffer import StorePosts
from recsys.write_buffer.events import store_events

__all__ = ["JOBS", "POSTS", "SEARCH_SUBSCRIPTIONS", "SUBSCRIPTIONS"]

SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    UserRegistered: (welcome,),
    RegistrationRepeated: (tell_of_registration,),
    AccountTokenRequested: (send_account_token,),
    PasswordChanged: (notify_of_password,),
    EmailChanged: (notify_of_email,),
    UserLoggedIn: (bring_cart_along, adopt_views, adopt_interactions, adopt_visits),
    ProfileUpdated: (forget_changed,),
    UserDeactivated: (forget_changed, drop_references_of_deleted),
    ProductViewed: (remember_view, settle_view),
    ProductLiked: (remember_like,),
    ProductUpdated: (forget_product,),
    ProductDeleted: (forget_product,),
    PriceChanged: (forget_product,),
    InventoryChanged: (forget_product,),
    ReviewApproved: (forget_product,),
    ReviewPosted: (forget_product, remember_review),
    CartItemAdded: (remember_cart, count_cart),
    CartAbandoned: (remind_of_cart,),
    ProductReminderDue: (remind_of_product,),
    OrderPlaced: (empty_ordered_cart, tell_live_orders, tell_of_order, count_order),
    OrderStatusChanged: (tell_live_orders,),
    OrderPaid: (verify_reviews, remember_purchase, tell_of_order, recount_order),
    OrderShipped: (tell_of_order,),
    OrderDelivered: (tell_of_order,),
    OrderCancelled: (give_back, tell_of_order, recount_order),
    OrderExpired: (tell_of_order,),
    OrderRefunded: (tell_of_order,),
    OrderReturned: (tell_live_orders, tell_of_order),
    PaymentAuthorised: (give_back,),
    PaymentCaptured: (give_back,),
    PaymentFailed: (tell_of_order,),
    PaymentVoided: (tell_of_order,),
    VoidFailed: (tell_staff,),
    RefundFailed: (tell_staff,),
    FraudFlagged: (tell_staff,),
    SearchPerformed: (count_search,),
    SearchResultClicked: (remember_search_click, count_click),
}

# a group of its own: an index that is down keeps no other handler from its events
SEARCH_SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    ProductCreated: (refresh_product,),
    ProductUpdated: (refresh_product,),
    ProductDeleted: (drop_product,),
    PriceChanged: (refresh_product,),
    InventoryChanged: (refresh_product,),
    ReviewPosted: (refresh_product,),
    ReviewApproved: (refresh_product,),
    CategoryChanged: (refresh_category,),
    BrandChanged: (refresh_brand,),
    UserRegistered: (refresh_user,),
    ProfileUpdated: (refresh_user,),
    PreferencesChanged: (refresh_user,),
    UserDeactivated: (refresh_user,),
    UserFollowed: (refresh_user,),
    UserUnfollowed: (refresh_user,),
    UserBlocked: (refresh_user,),
    UserUnblocked: (refresh_user,),
    InteractionsRecorded: (follow_popularity,),
}

JOBS: dict[str, Job] = {
    "orders expire": Job(lambda settings: settings.shop.expire_every_seconds, expire_unpaid),
    "jobs": Job(lambda settings: 1.0, RUNNER.tick, RUNNER.close),
}
"""Jobs that the relay, or `recsys serve api`, repeats by itself."""

POSTS: dict[str, StorePosts] = {
    "interactions": interactions.store_queued,
    "feedback": feedback.store_queued,
    "views": views.store_queued,
    "events": store_events,
    "collected": analytics.store_queued,
    "bot_hits": analytics.store_queued_bot_hits,
}
"""Each kind of queued post, and what stores it."""
