"""What every event is: a frozen class with a name, a version, a family, and documented plain fields."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

__all__ = [
    "FAMILIES",
    "Amount",
    "BrandId",
    "CartId",
    "CategoryId",
    "Event",
    "MaybeSessionId",
    "MaybeUserId",
    "MaybeVariantId",
    "Moment",
    "NotificationId",
    "OrderId",
    "PaymentId",
    "ProductId",
    "Quantity",
    "RefundId",
    "ReviewId",
    "SessionId",
    "UserId",
    "event_types",
]

FAMILIES: tuple[str, ...] = (
    "user",
    "product",
    "order",
    "payment",
    "notification",
    "cart",
    "search",
    "analytics",
)
"""Each family has the documented stream `<family>_events`."""

UserId = Annotated[int, Field(description="The user it is about.")]
MaybeUserId = Annotated[int | None, Field(description="The user it is about; null for a guest.")]
SessionId = Annotated[str, Field(description="The session it happened in.")]
MaybeSessionId = Annotated[str | None, Field(description="The session it happened in, if there was one.")]
ProductId = Annotated[int, Field(description="The product it is about.")]
MaybeVariantId = Annotated[int | None, Field(description="The variant; null where the product has none.")]
CategoryId = Annotated[int, Field(description="The category it is about.")]
BrandId = Annotated[int, Field(description="The brand it is about.")]
OrderId = Annotated[int, Field(description="The order it is about.")]
PaymentId = Annotated[int, Field(description="The payment it is about.")]
RefundId = Annotated[int, Field(description="The refund it is about.")]
ReviewId = Annotated[int, Field(description="The review it is about.")]
NotificationId = Annotated[int, Field(description="The notification it is about.")]
CartId = Annotated[int, Field(description="The row in `abandoned_carts`.")]
Quantity = Annotated[int, Field(description="How many pieces.")]
Amount = Annotated[Decimal, Field(description="Money, exact; a text in JSON.")]
Moment = Annotated[AwareDatetime, Field(description="When it happened, with its time zone.")]

_types: dict[str, type[Event]] = {}


class Event(BaseModel):
    """A fact of the past; subclasses that have a `name` are the vocabulary.

    A new field needs a default, so that older entries can be read. What older programs must not misread (a
    field's new meaning, a field that went away) needs a higher `version`: programs that know only the older
    one put such an entry aside as a dead letter, to be replayed once they are newer. Fields that a program
    does not know are ignored.

    Attributes
    ----------
    name
        Such as `order.paid`; begins with the family.
    version
        Of the type: higher where older programs must not read its entries.
    family
        One of FAMILIES; events of a family share a stream.
    ordered_by
        The field whose value, with the family, makes the `aggregate`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: ClassVar[str]
    version: ClassVar[int] = 1
    family: ClassVar[str]
    ordered_by: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "name" not in vars(cls):
            return  # a family's base
        if cls.family not in FAMILIES or not cls.name.startswith(f"{cls.family}."):
            raise TypeError(f"{cls.__name__}: {cls.name!r} must begin with its family, one of {FAMILIES}")
        other = _types.setdefault(cls.name, cls)
        if other.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.__name__} and {other.__name__} are both named {cls.name!r}")

    @property
    def aggregate(self) -> str:
        """What it happened to, such as `order:12`; events of one aggregate keep their order."""
        return f"{self.family}:{getattr(self, self.ordered_by)}"


def event_types() -> dict[str, type[Event]]:
    """Every event that has been defined, by name: ours, and those of packages that are imported."""
    return dict(_types)
