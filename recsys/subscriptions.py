"""The choreography of the shop on one page: which event is heard by which handlers, in their order."""

from __future__ import annotations

from recsys.domains.analytics.handlers import adopt_visits, count_cart, count_order, recount_order
from recsys.domains.notifications.handlers import remind_of_cart, tell_of_order, welcome
from recsys.domains.orders.handlers import bring_cart_along, empty_ordered_cart, tell_live_orders
from recsys.domains.payments.handlers import give_back
from recsys.domains.products.handlers import adopt_views, forget_product, verify_reviews
from recsys.domains.recommendations.handlers import (
    adopt_interactions,
    remember_cart,
    remember_like,
    remember_purchase,
    remember_review,
    remember_view,
)
from recsys.domains.users.handlers import forget_changed
from recsys.events.envelope import Handler
from recsys.events.vocabulary import (
    CartAbandoned,
    CartItemAdded,
    Event,
    InventoryChanged,
    OrderCancelled,
    OrderDelivered,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderStatusChanged,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PriceChanged,
    ProductDeleted,
    ProductLiked,
    ProductUpdated,
    ProductViewed,
    ProfileUpdated,
    ReviewApproved,
    ReviewPosted,
    UserDeactivated,
    UserLoggedIn,
    UserRegistered,
)

__all__ = ["SUBSCRIPTIONS"]

SUBSCRIPTIONS: dict[type[Event], tuple[Handler, ...]] = {
    UserRegistered: (welcome,),
    UserLoggedIn: (bring_cart_along, adopt_views, adopt_interactions, adopt_visits),
    ProfileUpdated: (forget_changed,),
    UserDeactivated: (forget_changed,),
    ProductViewed: (remember_view,),
    ProductLiked: (remember_like,),
    ProductUpdated: (forget_product,),
    ProductDeleted: (forget_product,),
    PriceChanged: (forget_product,),
    InventoryChanged: (forget_product,),
    ReviewApproved: (forget_product,),
    ReviewPosted: (forget_product, remember_review),
    CartItemAdded: (remember_cart, count_cart),
    CartAbandoned: (remind_of_cart,),
    OrderPlaced: (empty_ordered_cart, tell_live_orders, tell_of_order, count_order),
    OrderStatusChanged: (tell_live_orders,),
    OrderPaid: (verify_reviews, remember_purchase, tell_of_order, recount_order),
    OrderShipped: (tell_of_order,),
    OrderDelivered: (tell_of_order,),
    OrderCancelled: (give_back, tell_of_order, recount_order),
    OrderRefunded: (tell_of_order,),
    PaymentAuthorised: (give_back,),
    PaymentCaptured: (give_back,),
    PaymentFailed: (tell_of_order,),
}
