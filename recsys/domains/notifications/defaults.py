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
        # the name is what somebody typed who may not own the address: it stands in no mail
        _source("welcome", "Welcome", "Your account is ready.", name="text"),
        _source(
            "confirm_email",
            "Confirm your e-mail address",
            "Somebody, probably you, made an account with this e-mail address.\n"
            "Confirm it with this code: {{ token }}\nIf it was not you, ignore this mail.",
            token="text",
        ),
        _source(
            "change_email",
            "Confirm your new e-mail address",
            "Somebody, probably you, wants to use this e-mail address for an account.\n"
            "Confirm it with this code: {{ token }}\nIf it was not you, ignore this mail.",
            token="text",
        ),
        _source(
            "reset_password",
            "Choose a new password",
            "Somebody, probably you, has forgotten the password of the account with this e-mail address.\n"
            "Choose a new one with this code: {{ token }}\nIf it was not you, ignore this mail.",
            token="text",
        ),
        _source(
            "password_changed",
            "Your password was changed",
            "The password of your account was changed, and other devices were logged out.\n"
            "If it was not you, choose a new password now: ask for a code with this e-mail address.",
        ),
        _source(
            "email_changed",
            "Your e-mail address was changed",
            "Your account uses another e-mail address from now on.\n"
            "If it was not you, contact the shop at once.",
        ),
        _source(
            "registered_again",
            "You have an account already",
            "Somebody, probably you, tried to register with this e-mail address, which has an account.\n"
            "Log in to that account. If it was not you, you need not do anything: nothing was changed.",
        ),
        _source(
            "order_placed",
            "Order {{ order_number }}: received",
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
            "Your order {{ order_number }} is cancelled. Your payment is refunded.",
            order_number="text",
        ),
        _source(
            "order_expired",
            "Order {{ order_number }}: not paid in time",
            "Your order {{ order_number }} was not paid in time and is cancelled.\n"
            "If you still want the goods, please order again. Any payment that arrives is refunded.",
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
            "Order {{ order_number }}: refund",
            "The refund for your order {{ order_number }} is on its way to you.",
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
            "Order {{ order_number }}: the payment gateway refused a refund",
            "A refund for order {{ order_number }} was refused ({{ code }}, payment {{ payment_id }}).\n"
            "The refund of a cancelled order is tried again; a manual refund has to be requested again.",
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
            "Your cart holds {{ pieces }} items.",
            pieces="integer",
        ),
        *(
            _source(
                reason,
                subject,
                f"{text}\n{{{{ link }}}}",
                product="text",
                price="text",
                currency="text",
                link="text",
            )
            for reason, subject, text in (
                (
                    "price_drop",
                    "{{ product }} costs less",
                    "You looked at {{ product }}: it costs {{ price }} {{ currency }} now.",
                ),
                (
                    "back_in_stock",
                    "{{ product }} is in stock again",
                    "You looked at {{ product }}: it is in stock again, for {{ price }} {{ currency }}.",
                ),
                (
                    "replenishment",
                    "Do you need {{ product }} again?",
                    "It is about time for {{ product }}: it costs {{ price }} {{ currency }}.",
                ),
            )
        ),
    )
}
