"""HTTP of orders for those who run the shop: every order, its steps, its parcels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from recsys.domains.orders import listing, service, shipments
from recsys.domains.orders.schemas import (
    CancelIn,
    OrderOut,
    OrderSummary,
    ParcelIn,
    ParcelOut,
    ParcelUpdate,
    StatusIn,
)
from recsys.domains.orders.states import Status
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin", tags=["orders (admin)"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/orders", responses=problem_responses(401, 403, 422, 503))
def list_orders(
    session: SessionDep,
    admin: AdminUser,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Page[OrderSummary]:
    """Everybody's orders, newest first."""
    return listing.page(session, status=status, limit=limit, cursor=cursor)


@router.get("/orders/{order_id}", responses=problem_responses(401, 403, 404, 422, 503))
def get_order(session: SessionDep, admin: AdminUser, order_id: Id) -> OrderOut:
    """Any order, whole."""
    return listing.whole(session, service.get_order(session, order_id))


@router.post("/orders/{order_id}/status", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def change_status(session: SessionDep, admin: AdminUser, order_id: Id, step: StatusIn) -> OrderOut:
    """Take a step of the order by hand, such as completing one that has no parcel."""
    order = service.change_status(
        session, order_id, step.status, by=admin.user_id, notes=step.notes, notify=step.notify_customer
    )
    return listing.whole(session, order)


@router.post("/orders/{order_id}/cancel", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def cancel_order(session: SessionDep, admin: AdminUser, order_id: Id, why: CancelIn) -> OrderOut:
    """Cancel any order that has not left the house."""
    return listing.whole(session, service.cancel(session, order_id, why.reason, by=admin.user_id))


@router.post(
    "/orders/{order_id}/parcels",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
def send_parcel(session: SessionDep, admin: AdminUser, order_id: Id, parcel: ParcelIn) -> ParcelOut:
    """Note that a parcel left; the order is shipped with its first one."""
    return ParcelOut.model_validate(shipments.send(session, order_id, parcel, by=admin.user_id))


@router.patch("/parcels/{parcel_id}", responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def update_parcel(session: SessionDep, admin: AdminUser, parcel_id: Id, news: ParcelUpdate) -> ParcelOut:
    """Note where a parcel is; when the last one arrived, the order is delivered."""
    return ParcelOut.model_validate(shipments.update(session, parcel_id, news, by=admin.user_id))
