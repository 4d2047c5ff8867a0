"""The templates that come with recsys; each is written to the table at its first use, and edited there."""

from __future__ import annotations

from recsys.domains.notifications.templating import TemplateSource

__all__ = ["DEFAULTS"]


def _source(called: str, subject: str, text: str, /, **variables: str) -> TemplateSource:
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n") if line)
    return TemplateSource(called, subject, paragraphs, text, variables)


DEFAULTS: dict[str, TemplateSource] = {
    source.name: source
    for source in (
        _source("welcome", "Welcome, {{ name }}", "Your account is ready.", name="text"),
        _source(
            "registered_again",
            "You have an account already",
            "Somebody, probably you, asked for an account with this e-mail address, which has one.\n"
            "Log in to it as before. If it was not you, there is nothing to do: nothing was changed.",
        ),
        _source(
            "order_placed",
            "Order {{ order_number }}: we have it",
            "Thank you for your order {{ order_number }} over {{ total }} {{ currency }}.",
            order_number="text",
            total="number",
            currency="text",
        ),
        _source(
            "order_paid",
            "Order {{ order_number }}: paid",
            "Your payment of {{ total }} {{ currency }} for order {{ order_number }} has arrived.",
            order_number="text",
            total="number",
            currency="text",
        ),
        _source(
            "order_shipped",
            "Order {{ order_number }}: on its way",
            "A parcel of order {{ order_number }} left with {{ carrier }}, number {{ tracking_number }}.",
            order_number="text",
            carrier="text",
            tracking_number="text",
        ),
        _source(
            "order_delivered",
            "Order {{ order_number }}: delivered",
            "Your order {{ order_number }} has arrived.\nTell others what you think of it.",
            order_number="text",
        ),
        _source(
            "order_cancelled",
            "Order {{ order_number }}: cancelled",
            "Your order {{ order_number }} is cancelled. What you paid goes back.",
            order_number="text",
        ),
        _source(
            "order_expired",
            "Order {{ order_number }}: not paid in time",
            "Your order {{ order_number }} was not paid in time and is cancelled; its goods are for others "
            "again.\nIf you still want them, please order again. What you paid meanwhile goes back.",
            order_number="text",
        ),
        _source(
            "order_returned",
            "Order {{ order_number }}: returned",
            "The goods of your order {{ order_number }} have arrived at the shop.",
            order_number="text",
        ),
        _source(
            "order_refunded",
            "Order {{ order_number }}: money back",
            "Money of your order {{ order_number }} is on its way back to you.",
            order_number="text",
        ),
        _source(
            "payment_failed",
            "Order {{ order_number }}: the payment did not go through",
            "The payment of your order {{ order_number }} was declined.\nPlease try another way to pay.",
            order_number="text",
        ),
        _source(
            "payment_voided",
            "Order {{ order_number }}: the payment was not accepted",
            "We could not accept the payment of your order {{ order_number }}; no money was taken.\n"
            "Please try another way to pay.",
            order_number="text",
        ),
        _source(
            "money_not_returned",
            "Order {{ order_number }}: the gateway refused to give money back",
            "Money of order {{ order_number }} did not go back ({{ code }}, payment {{ payment_id }}).\n"
            "That of a cancelled order is asked for again; a refund by hand has to be made anew.",
            order_number="text",
            code="text",
            payment_id="integer",
        ),
        _source(
            "payment_suspicious",
            "Order {{ order_number }}: a payment looks suspicious",
            "Payment {{ payment_id }} of order {{ order_number }} has a score of {{ score }} ({{ flags }}) "
            "and waits for a decision.",
            order_number="text",
            payment_id="integer",
            score="number",
            flags="text",
        ),
        _source(
            "cart_abandoned",
            "You left something in your cart",
            "{{ pieces }} pieces are waiting in your cart.",
            pieces="integer",
        ),
    )
}
