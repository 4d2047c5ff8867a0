"""A gateway without money: what it answers depends on the token alone, so that each case can be tried.

| token | it |
|---|---|
| `tok_visa`, `tok_mastercard` | approves |
| `tok_declined` | declines, `card_declined` |
| `tok_insufficient_funds` | declines, `insufficient_funds` |
| `tok_timeout` | takes the money, but its answer never arrives |
| `tok_lost` | neither answers nor takes the money |
| `tok_twice` | approves, and reports the same event by webhook twice |
| `tok_refund_fails` | approves, and declines every refund |
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from recsys import clock
from recsys.domains.payments.gateway import Answer, Card, Charge, GatewayOutcome, GatewayTimeout
from recsys.errors import Forbidden, Invalid

__all__ = ["SIGNED_FOR_SECONDS", "TOKENS", "Sandbox", "sign"]

SIGNED_FOR_SECONDS = 300
"""How old a webhook's signature may be, so that a recorded one can't be sent again much later."""
_STAMP = re.compile(r"[0-9]{1,12}")

TOKENS: Mapping[str, Card] = {
    "tok_visa": Card("credit_card", "visa", "4242", 12, 2039),
    "tok_mastercard": Card("credit_card", "mastercard", "4444", 11, 2038),
    "tok_declined": Card("credit_card", "visa", "0002", 12, 2039),
    "tok_insufficient_funds": Card("debit_card", "visa", "9995", 12, 2039),
    "tok_timeout": Card("credit_card", "visa", "0119", 12, 2039),
    "tok_lost": Card("credit_card", "visa", "0127", 12, 2039),
    "tok_twice": Card("credit_card", "visa", "3055", 12, 2039),
    "tok_refund_fails": Card("credit_card", "visa", "5126", 12, 2039),
}
_DECLINES = {"tok_declined": "card_declined", "tok_insufficient_funds": "insufficient_funds"}


class Sandbox:
    """Answers at once and remembers nothing: ids are made from the caller's keys, so a repeat is the same.

    Attributes
    ----------
    secret
        What its webhooks are signed with.
    """

    name = "sandbox"

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def card(self, token: str) -> Card | None:
        """The card of a known test token, else None."""
        return TOKENS.get(token)

    def charge(self, charge: Charge) -> Answer:
        """Charge a card. Raises GatewayTimeout for the tokens that stand for it."""
        if charge.token in ("tok_timeout", "tok_lost"):
            raise GatewayTimeout(
                "The payment gateway did not answer in time; the payment is being looked up."
            )
        return self.find(charge.key, charge.token)

    def find(self, key: str, token: str) -> Answer:
        """The outcome of a charge by its key; the token decides it."""
        if token == "tok_lost":
            return Answer(GatewayOutcome.UNKNOWN)
        if token not in TOKENS or token in _DECLINES:
            code = _DECLINES.get(token, "unknown_token")
            return Answer(GatewayOutcome.DECLINED, None, code, {"code": code})
        transaction = _id("ch", key, token)
        return Answer(GatewayOutcome.APPROVED, transaction, None, {"id": transaction})

    def capture(self, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
        """Capture a payment; always approved."""
        return Answer(
            GatewayOutcome.APPROVED, transaction_id, None, {"id": transaction_id, "amount": str(amount)}
        )

    def void(self, transaction_id: str, *, key: str) -> Answer:
        """Release a payment; always approved."""
        return Answer(GatewayOutcome.APPROVED, transaction_id, None, {"id": transaction_id, "voided": True})

    def refund(self, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
        """Refund a payment; declined for the token that stands for it."""
        if transaction_id.endswith(_mark("tok_refund_fails")):
            return Answer(GatewayOutcome.DECLINED, None, "refund_refused", {"code": "refund_refused"})
        refund = _id("re", key, "")
        return Answer(GatewayOutcome.APPROVED, refund, None, {"id": refund, "amount": str(amount)})

    def webhook(self, body: bytes, signature: str) -> Mapping[str, Any]:
        """The message of a signed webhook. Raises Forbidden (signature), Invalid (body)."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        stamp, given = parts.get("t", ""), parts.get("v1", "")
        expected = _signature(self._secret, stamp, body)
        if not _STAMP.fullmatch(stamp) or not hmac.compare_digest(expected.encode(), given.encode()):
            raise Forbidden("The webhook's signature is wrong.")
        if abs(clock.now().timestamp() - int(stamp)) > SIGNED_FOR_SECONDS:
            raise Forbidden(f"The webhook was signed more than {SIGNED_FOR_SECONDS} seconds ago.")
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Invalid("The webhook is not valid JSON.") from None
        if not isinstance(message, dict):
            raise Invalid("The webhook is not a JSON object.")
        return message


def sign(secret: str, body: bytes, *, at: int | None = None) -> str:
    """The `Webhook-Signature` of a webhook's body: `t=seconds,v1=HMAC-SHA256 of "t.body" in hex`."""
    stamp = str(int(clock.now().timestamp()) if at is None else at)
    return f"t={stamp},v1={_signature(secret, stamp, body)}"


def _signature(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _id(kind: str, key: str, token: str) -> str:
    return f"{kind}_{hashlib.sha256(key.encode()).hexdigest()[:24]}{_mark(token)}"


def _mark(token: str) -> str:
    return "_norefund" if token == "tok_refund_fails" else ""
