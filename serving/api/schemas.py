"""Bodies of the serving API: its responses, and the request for the lists of a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from recsys.own_ids.references import BrandRef, CategoryRef, ProductRef, UserRef
from serving.ranking.eligibility import Novelty
from serving.recommender.request import Filters, Placement, RecommendationRequest

__all__ = [
    "Health",
    "ItemOut",
    "PageIn",
    "PageOut",
    "ProvenanceOut",
    "ReasonOut",
    "RecommendationsOut",
    "ShelfIn",
]

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SessionId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern="^[^\\x00]*$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern="^[^\\x00]*$")]


ItemField = Literal[
    "sku", "name", "price", "compare_price", "currency", "image", "url", "brand", "category", "stock", "slug"
]


class ReasonOut(BaseModel):
    """Why the product is in the list."""

    code: str = Field(
        examples=["because_bought"],
        description="`popular`, `because_bought`, `because_viewed`, `bought_before`, `viewed_before`, "
        "`similar_to`, `chosen`, `trending`, `new_arrival`, `bought_together` or `chosen_category`.",
    )
    text: str = Field(examples=["Because you bought Coffee 12 OZ"], max_length=100)
    product_ids: list[int] = Field(examples=[[17]], description="The products that the text names.")
    skus: list[str | None] = Field(examples=[["EL-0102"]], description="Their SKUs, in the same order.")


class ItemOut(BaseModel):
    """One recommended product."""

    product_id: int = Field(examples=[42])
    sku: str | None = Field(examples=["EL-0118"], description="The shop's own id.")
    name: str = Field(default="", examples=["Filter papers 100 CT"])
    price: float = Field(
        default=0.0,
        examples=[2.49],
        description="In the shop's currency: a JSON number of at most two decimals.",
    )
    compare_price: float | None = Field(
        default=None, description="By `fields`: the price before a reduction."
    )
    currency: str | None = Field(default=None, examples=["USD"], description="By `fields`: ISO 4217 code.")
    image: str | None = Field(default=None, description="By `fields`: address of the primary picture.")
    url: str | None = Field(default=None, description="By `fields`: the page, by RECSYS_SHOP__PRODUCT_URL.")
    slug: str | None = Field(default=None, description="By `fields`.")
    brand: str | None = Field(default=None, description="By `fields`: its name.")
    category: str | None = Field(default=None, description="By `fields`: its name.")
    stock: Literal["in_stock", "on_order"] | None = Field(default=None, description="By `fields`.")
    score: float = Field(
        examples=[0.2133],
        ge=0,
        le=1,
        description="The calibrated probability that the user chooses the product; of popular products the "
        "share of people who chose them recently; of similar products their similarity.",
    )
    type: Literal["collaborative", "content_based", "popular", "similar"]
    reason: ReasonOut
    explanation: dict[str, Any] | None = Field(
        default=None,
        description="Only with `explain`: `raw_score` = `baseline` + what each product of the history `adds` "
        "+ `others`, in the model's own units; null for products that no model ranked.",
    )


class FiltersOut(BaseModel):
    """How many products were filtered out, by reason, and how many are eligible."""

    removed: dict[str, int] = Field(examples=[{"not_sold": 120, "category": 91_000}])
    qualified: int


class ShelfProvenanceOut(BaseModel):
    """Where a list comes from."""

    placement: Placement
    shelf: Placement = Field(deprecated=True, description="The former name of `placement`.")
    source: Literal["stored", "live", "popular"] = Field(
        description="`stored`: ranked earlier; `live`: ranked now by a model; `popular`: by counts."
    )
    model: str | None = Field(
        examples=["als-v3"], description="The registered model; null for popular lists."
    )
    version: str | None = Field(examples=["3"])
    generation: int | None = Field(examples=[12], description="The set of stored lists; null unless stored.")
    arm: str | None = Field(description="The arm of an experiment; null while none runs.")
    complete: bool = Field(
        description="false: the deadline passed, and this is the best list available by then."
    )
    explored: bool = Field(
        description="Whether the order was drawn at random, so that other models can be evaluated on it."
    )
    new_product_ids: list[int] = Field(
        description="Products on this page whose places are reserved for new products; empty without any."
    )
    features_age_seconds: int = Field(description="Age of the data that the list is made from.")
    filters: FiltersOut | None = None


class ProvenanceOut(ShelfProvenanceOut):
    """The same, with the id by which feedback refers to this response."""

    request_id: str = Field(examples=["5f0c1d9e8b7a4f36a1b2c3d4e5f60718"])


class RecommendationsOut(BaseModel):
    """A list, best first, and where it comes from."""

    items: list[ItemOut]
    next_cursor: str | None = Field(description="The next page of this list; null on the last one.")
    provenance: ProvenanceOut


class FiltersIn(BaseModel):
    """Conditions that a product must all fulfil."""

    model_config = ConfigDict(extra="forbid")

    category: Annotated[list[CategoryRef], Field(max_length=200)] = []
    brand: Annotated[list[BrandRef], Field(max_length=200)] = []
    min_price: Price | None = None
    max_price: Price | None = None
    tags: Annotated[list[ShortText], Field(max_length=20)] = []
    in_stock: bool | None = None
    created_since: datetime | None = None
    exclude: Annotated[list[ProductRef], Field(max_length=200)] = []
    attributes: Annotated[dict[ShortText, ShortText], Field(max_length=10)] = {}

    @model_validator(mode="after")
    def _prices_in_order(self) -> Self:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError("min_price is more than max_price")
        return self

    def filters(self, category: int | None) -> Filters:
        """Return the filters of a request.

        Parameters
        ----------
        category
            Of the page, used where the list has none.
        """
        since = self.created_since
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        categories = self.category or ([] if category is None else [category])
        return Filters(
            tuple(categories),
            tuple(self.brand),
            self.min_price,
            self.max_price,
            tuple(self.tags),
            self.in_stock,
            None if since is None else since.timestamp(),
            tuple(self.exclude),
            tuple(sorted(self.attributes.items())),
        )


class ShelfIn(BaseModel):
    """One list of a page."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=50)] | None = Field(
        default=None, description="The page's name of the list, for rules about it; default: the placement."
    )
    placement: Placement = Field(
        default=Placement.FOR_YOU,
        validation_alias=AliasChoices("placement", "shelf"),
        description="Which list; `shelf` is its former name.",
    )
    limit: Annotated[int, Field(ge=1, le=100)] | None = None
    novelty: Novelty = Novelty.ANY
    filters: FiltersIn = FiltersIn()
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    explain: bool = False
    country: Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$")] | None = None


class PageContext(BaseModel):
    """What the page displays."""

    model_config = ConfigDict(extra="forbid")

    product_ids: Annotated[list[ProductRef], Field(max_length=20)] = []
    category_id: CategoryRef | None = None


class PageIn(BaseModel):
    """The visitor, the page, and its lists; all fields are optional."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "user_id": 7,
                    "cart": [17, 4],
                    "page": {"product_ids": [42]},
                    "shelves": [
                        {"placement": "bought_together", "limit": 4},
                        {"placement": "for_you", "limit": 12, "filters": {"max_price": 20}},
                    ],
                }
            ]
        },
    )

    user_id: UserRef | None = None
    session_id: (
        Annotated[str, StringConstraints(min_length=1, max_length=255, pattern="^[^\\x00]*$")] | None
    ) = None
    cart: Annotated[list[ProductRef], Field(max_length=100)] = []
    page: PageContext = PageContext()
    shelves: Annotated[list[ShelfIn], Field(min_length=1, max_length=10)] = [ShelfIn()]
    fields: Annotated[list[ItemField], Field(min_length=1)] | None = Field(
        default=None, description="Fields of each item; the ids are always there."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [item.name or item.placement.value for item in self.shelves]
        if len(set(names)) < len(names):
            raise ValueError("two lists have the same name; give each a `name` of its own")
        return self

    def requests(self, default_limit: int, caller: str | None) -> list[RecommendationRequest]:
        """Return one request per list, in their order.

        Parameters
        ----------
        caller
            As in `RecommendationRequest`.
        """
        return [
            RecommendationRequest(
                item.placement,
                self.user_id,
                self.session_id,
                tuple(self.page.product_ids),
                tuple(self.cart),
                item.country,
                item.limit or default_limit,
                item.novelty,
                item.filters.filters(self.page.category_id),
                item.diversity,
                item.explain,
                item.name,
                caller=caller,
            )
            for item in self.shelves
        ]


class ShelfOut(BaseModel):
    """One list of a page; no product is in two of them."""

    name: str
    items: list[ItemOut]
    provenance: ShelfProvenanceOut


class PageOut(BaseModel):
    """The lists of a page in the order of the request."""

    request_id: str
    shelves: list[ShelfOut]


class PartOut(BaseModel):
    """The health of one part."""

    well: bool
    detail: str


class Health(BaseModel):
    """`degraded`: lists are served, but less relevant or less fresh than usual."""

    status: Literal["ready", "degraded", "live"]
    parts: dict[str, PartOut] = {}
