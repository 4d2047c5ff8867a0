"""HTTP of payments: stored methods, paying, capturing, refunding, webhooks, fraud flags."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Path, Request, Response

from recsys.database.session import unit_of_work
from recsys.domains.orders.carts.store import Owner
from recsys.domains.orders.routes import OwnerDep, owner_of
from recsys.domains.payments import methods, processing, queries, webhooks
from recsys.domains.payments.fraud import fraud_review
from recsys.domains.payments.gateways import get_gateway
from recsys.domains.payments.refunds import refunds
from recsys.domains.payments.schemas import (
    FlagOut,
    MethodIn,
    MethodOut,
    PaymentIn,
    PaymentOut,
    RefundIn,
    RefundOut,
    ResolutionIn,
    WebhookOut,
)
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.payments.tables import Payment
from recsys.errors import Invalid, NotFound
from recsys.web.dependencies import AdminUser, BriefAdmin, BriefUser, CurrentUser, GuestSession, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page, last_id, page_of
from recsys.web.pan_filter import REFUSAL, holds_card_number, is_typed_card_number
from recsys.web.validators import IdempotencyKey, RowId

__all__ = ["refuse_card_numbers", "router"]


async def refuse_card_numbers(request: Request) -> None:
    """A card's number anywhere in a request is refused before anything reads, stores or logs it.

    Looked at more closely than other routes' requests (recsys/web/pan_filter.py), but for a gateway's news,
    whose ids and signatures are hexadecimal: one of a hundred would hold digits that look like a card's.
    """
    if request.scope["path"].startswith(_WEBHOOKS):
        return
    body = (await request.body()).decode("utf-8", "replace")
    # a number may be hidden in JSON's own escapes; what is no JSON is refused later
    try:
        decoded = orjson.dumps(orjson.loads(body)).decode() if body else ""
    except orjson.JSONDecodeError:
        decoded = ""
    texts = [request.url.path, request.url.query, body, decoded]
    if holds_card_number(texts) or any(map(is_typed_card_number, request.headers.values())):
        raise Invalid(REFUSAL)


_WEBHOOKS = "/api/v1/payments/webhooks/"
router = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_card_numbers)])


@router.get("/payment-methods", tags=["payments"], responses=problem_responses(401, 422, 503))
def list_methods(session: SessionDep, user: CurrentUser) -> list[MethodOut]:
    """The caller's payment methods, the default first."""
    return [MethodOut.model_validate(one) for one in methods.stored(session, user.user_id)]


@router.post(
    "/payment-methods",
    status_code=201,
    tags=["payments"],
    responses=problem_responses(400, 401, 409, 422, 503),
)
def add_method(session: SessionDep, user: CurrentUser, given: MethodIn) -> MethodOut:
    """Save a token of the gateway for later payments."""
    return MethodOut.model_validate(methods.add(session, user.user_id, given))


@router.post(
    "/payment-methods/{method_id}/default",
    tags=["payments"],
    responses=problem_responses(401, 404, 422, 503),
)
def make_default(session: SessionDep, user: CurrentUser, method_id: RowId) -> MethodOut:
    """Make a payment method the default."""
    return MethodOut.model_validate(methods.make_default(session, user.user_id, method_id))


@router.delete(
    "/payment-methods/{method_id}",
    status_code=204,
    tags=["payments"],
    responses=problem_responses(401, 404, 422, 503),
)
def remove_method(session: SessionDep, user: CurrentUser, method_id: RowId) -> Response:
    """Delete a saved payment method."""
    methods.remove(session, user.user_id, method_id)
    return Response(status_code=204)


def _payer(user: BriefUser, guest: GuestSession) -> Owner:
    return owner_of(user, guest)


# what asks the gateway opens transactions of its own before and after: no SessionDep here
@router.post(
    "/payments",
    status_code=201,
    tags=["payments"],
    responses={
        200: {"model": PaymentOut, "description": "The same Idempotency-Key made this payment before"},
        **problem_responses(400, 401, 403, 404, 409, 422, 503),
    },
)
def pay(
    owner: Annotated[Owner, Depends(_payer)], wanted: PaymentIn, key: IdempotencyKey, response: Response
) -> PaymentOut:
    """Pay an order. A declined payment is a normal response: see its `status` and `failure_reason`."""
    payment, new = processing.pay(owner, key, wanted)
    if not new:
        response.status_code = 200
    return payment


@router.get("/payments/{payment_id}", tags=["payments"], responses=problem_responses(401, 403, 404, 422, 503))
def get_payment(session: SessionDep, owner: OwnerDep, payment_id: RowId) -> PaymentOut:
    """One payment of the caller's own orders."""
    return queries.shown(session, queries.own(session, owner, payment_id).id)


@router.post(
    "/admin/payments/{payment_id}/capture",
    tags=["payments (admin)"],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
def capture(admin: BriefAdmin, payment_id: RowId) -> PaymentOut:
    """Capture an authorised payment; a repeated request captures it once."""
    return processing.capture(payment_id)


@router.post(
    "/admin/payments/{payment_id}/void",
    tags=["payments (admin)"],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
def void(admin: BriefAdmin, payment_id: RowId) -> PaymentOut:
    """Void an authorised payment."""
    return processing.void(payment_id)


@router.post(
    "/admin/payments/{payment_id}/refunds",
    status_code=201,
    tags=["payments (admin)"],
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
def refund(admin: BriefAdmin, payment_id: RowId, wanted: RefundIn, key: IdempotencyKey) -> RefundOut:
    """Refund a payment in part or in full, never more than was paid."""
    # no visit has a blank in its name: a guest can't take an Idempotency-Key of a program away
    owner = Owner(user_id=admin.user_id) if admin.key is None else Owner(session_id=f"key {admin.key}")
    return refunds.refund(owner, key, payment_id, wanted)


@router.get("/admin/fraud-flags", tags=["payments (admin)"], responses=problem_responses(401, 403, 422, 503))
def list_flags(
    session: SessionDep,
    admin: AdminUser,
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Page[FlagOut]:
    """Suspicious payments without a decision, the oldest first."""
    after = last_id(cursor) or 0
    found = fraud_review.open_flags(session, limit=limit + 1, after=after)
    return page_of(found, limit, FlagOut.model_validate)


@router.post(
    "/admin/fraud-flags/{flag_id}/resolve",
    tags=["payments (admin)"],
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
def resolve_flag(admin: BriefAdmin, flag_id: RowId, decided: ResolutionIn) -> FlagOut:
    """Decide about a suspicious payment: accepted, it can be captured; rejected, it is voided."""
    with unit_of_work() as session:
        flag = fraud_review.resolve(
            session, flag_id, f"{decided.decision}: {decided.notes}", by=admin.user_id
        )
        answer = FlagOut.model_validate(flag)
        payment = session.get(Payment, flag.payment_id)
        held = payment is not None and payment.status == PaymentStatus.AUTHORIZED
    if decided.decision == "reject" and held and answer.payment_id is not None:
        processing.void(answer.payment_id)
    return answer


async def _raw_body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/payments/webhooks/{gateway}",
    tags=["payments"],
    responses=problem_responses(400, 403, 404, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": webhooks.Message.model_json_schema()}},
        }
    },
)
def webhook(
    session: SessionDep,
    gateway: Annotated[str, Path(max_length=50)],
    raw: Annotated[bytes, Depends(_raw_body)],
    signature: Annotated[str, Header(alias="Webhook-Signature", max_length=1000)],
) -> WebhookOut:
    """Signed events of the payment gateway; each is processed once."""
    ours = get_gateway()
    if gateway != ours.name:
        raise NotFound("This shop does not use this payment gateway.")
    return WebhookOut(outcome=webhooks.take(session, gateway, ours.webhook(raw, signature)))
