"""The placement studio: a list as cards, changed as the shop wants it, compared, and saved as rules.

The changes are a part of the address: nothing is stored before they are saved, and a draft can be shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.interactions.history import recently_active
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.errors import Forbidden, Invalid, NotFound, RecsysError
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser, Role, Viewer
from serving.console.audiences import DraftedRules, audience_choices, first_members
from serving.console.list_screens.displayed_lists import DisplayedProduct, products_of
from serving.console.list_screens.naming import (
    category_named,
    moment_named,
    product_named,
    user_named,
)
from serving.console.list_screens.segment_preview import PreviewedSegment, listed_products, previewed
from serving.console.list_screens.studio_changes import (
    factors_of,
    matched,
    of_audience,
    rule_of,
    text_of,
    without_product,
)
from serving.console.rendering import TEMPLATES, screen_router
from serving.merchandising.rerank import RerankedList, rerank
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.ranking.eligibility import Novelty
from serving.recommender.recommender import Recommender
from serving.recommender.request import Filters, Placement, RecommendationRequest

__all__ = ["StudioContent", "router"]

router = screen_router("studio")
PLACEMENTS = [(placement.value, placement.value.replace("_", " ")) for placement in Placement]
NEED_PRODUCT = (Placement.SIMILAR, Placement.BOUGHT_TOGETHER)
MAX_CHANGES = 30
COMPARED_PEOPLE = 10
_OF_FORMS = {"pin_product", "pin_place", "factor_product", "factor", "cap_by", "cap_most"}
ShortText = Annotated[str, Query(max_length=255)]
ProductNumber = Annotated[int | None, Query(ge=1, le=999_999_999)]


class StudioRequest(BaseModel):
    """The list and the changes, as the address has them; the words of the fields as they were typed."""

    placement: Placement = Placement.FOR_YOU
    user: str = ""
    session: str = ""
    segment: str = ""
    audience: str = ""
    start: str = ""
    category: str = ""
    in_stock: bool = False
    novelty: Novelty = Novelty.ANY
    diversity: float = 0.0
    limit: int = 12
    people: bool = False
    change: list[str] = []
    pin_product: int | None = None
    pin_place: int = 1
    factor_product: int | None = None
    factor: float = 1.0
    cap_by: Literal["category", "brand"] | None = None
    cap_most: int = 2

    def added(self) -> str | None:
        """Return the change that a form of the page adds; None for an address without one."""
        if self.pin_product is not None:
            return f"pin:{self.pin_product}:{self.pin_place}"
        if self.factor_product is not None:
            return f"factor:{self.factor_product}:{self.factor:g}"
        return None if self.cap_by is None else f"cap:{self.cap_by}:{self.cap_most}"

    def address(self, **other: object) -> str:
        """Return the address of this list, with some values replaced."""
        values = {**self.model_dump(mode="json", exclude=_OF_FORMS), **other}
        defaults = StudioRequest().model_dump(mode="json")
        kept = {name: value for name, value in values.items() if value != defaults[name]}
        return "/console/studio" + (f"?{urlencode(kept, doseq=True)}" if kept else "")


class StudioChange(BaseModel):
    """One change of the draft.

    Attributes
    ----------
    without
        The address without it.
    """

    text: str
    without: str


class StudioCard(BaseModel):
    """One product of the changed list, with its position before and the fields of its forms.

    Attributes
    ----------
    hide
        The address of the list without the product.
    kept
        The changes of all other products, as the forms of this card send them along.
    """

    product: DisplayedProduct
    before: int | None
    factor: float
    hide: str
    kept: list[str]


class ComparedPerson(BaseModel):
    """The effect of the changes on one person's first page.

    Attributes
    ----------
    expected_before, expected_after
        Sum of the scores, in products.
    """

    user_id: int
    name: str
    added: list[str]
    removed: list[str]
    moved: int
    expected_before: float
    expected_after: float


class StudioContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    gone
        Products of the list before that the changed list lacks.
    people_before, people_after
        What all compared people together are expected to take.
    audiences
        For whom changes can hold.
    members
        Own ids of the first members of the audience, where they are stored.
    concerned
        Whether the changes hold for the person of the list.
    """

    request: StudioRequest
    address: str
    model: str | None = None
    before: list[DisplayedProduct] = []
    cards: list[StudioCard] = []
    gone: list[DisplayedProduct] = []
    changes: list[StudioChange] = []
    expected_before: float = 0.0
    expected_after: float = 0.0
    people: list[ComparedPerson] = []
    people_before: float = 0.0
    people_after: float = 0.0
    people_address: str = ""
    segment: PreviewedSegment | None = None
    without_segment: str = ""
    audiences: list[tuple[str, str]] = []
    members: list[str] = []
    concerned: bool = True
    default_name: str = ""
    problem: str | None = None
    placements: list[tuple[str, str]] = PLACEMENTS


class SaveForm(BaseModel):
    """How the changes are saved."""

    name: str = Field(min_length=1, max_length=120)
    starts: str = Field(default="", max_length=40)
    ends: str = Field(default="", max_length=40)
    everywhere: bool = False


def _studio_request(
    placement: Placement = Placement.FOR_YOU,
    user: ShortText = "",
    session: ShortText = "",
    segment: Annotated[str, Query(max_length=4_000)] = "",
    audience: Annotated[str, Query(pattern=r"^([a-z0-9][a-z0-9_-]{0,49})?$")] = "",
    start: ShortText = "",
    category: ShortText = "",
    in_stock: bool = False,
    novelty: Novelty = Novelty.ANY,
    diversity: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)] = 0.0,
    limit: Annotated[int, Query(ge=1, le=40)] = 12,
    people: bool = False,
    change: Annotated[list[str] | None, Query(max_length=MAX_CHANGES)] = None,
    pin_product: ProductNumber = None,
    pin_place: Annotated[int, Query(ge=1, le=300)] = 1,
    factor_product: ProductNumber = None,
    factor: Annotated[float, Query(ge=0, le=99, allow_inf_nan=False)] = 1.0,
    cap_by: Literal["category", "brand"] | None = None,
    cap_most: Annotated[int, Query(ge=1, le=300)] = 2,
) -> StudioRequest:
    """Read the address."""
    return StudioRequest(
        placement=placement,
        user=user,
        session=session,
        segment=segment,
        audience=audience,
        start=start,
        category=category,
        in_stock=in_stock,
        novelty=novelty,
        diversity=diversity,
        limit=limit,
        people=people,
        change=change or [],
        pin_product=pin_product,
        pin_place=pin_place,
        factor_product=factor_product,
        factor=factor,
        cap_by=cap_by,
        cap_most=cap_most,
    )


StudioQuery = Annotated[StudioRequest, Depends(_studio_request)]


@router.get("")
async def studio(request: Request, user: Viewer, query: StudioQuery) -> Response:
    """One list with the changes of the draft; a form of the page leads to the address with its change."""
    if (change := query.added()) is not None:
        matched(change)
        others = [other for other in query.change if other.rpartition(":")[0] != change.rpartition(":")[0]]
        # a factor of 1 changes nothing: the slider at 1 takes the change away
        added = [] if change.startswith("factor:") and query.factor == 1.0 else [change]
        return redirect(query.address(change=[*others, *added][-MAX_CHANGES:]))
    recommender: Recommender = request.app.state.recommender
    content = StudioContent(request=query, address=query.address())
    content.without_segment = query.address(segment="", user="")
    content.default_name = f"Studio {clock.now():%Y-%m-%d %H:%M}"
    try:
        if (query.segment or query.audience) and not user.may(Role.MERCHANDISER):
            raise Forbidden("Segments need the role merchandiser.")
        await run_in_threadpool(_fill, recommender, content)
    except RecsysError as error:
        content.problem = error.message
    return TEMPLATES.page(request, "console/studio.html.j2", content)


@router.post("/save")
async def save_draft(
    request: Request,
    user: Merchandiser,
    query: StudioQuery,
    form: Annotated[SubmittedForm, Depends(submitted)],
) -> Response:
    """Save the changes as rules, all or none."""
    given = form.model(SaveForm)
    recommender: Recommender = request.app.state.recommender
    if not query.change:
        raise Invalid("There is nothing to save: change the list first.")
    starts, ends = moment_named(given.starts), moment_named(given.ends)

    def save() -> list[int]:
        catalogue = recommender.data.catalogue
        with unit_of_work() as session:
            return [
                rules.create(
                    session,
                    of_audience(
                        rule_of(
                            change, query.placement, catalogue, given.name, starts, ends, given.everywhere
                        ),
                        query.audience,
                    ),
                    actor=user.actor,
                ).id
                for change in query.change
            ]

    numbers = await run_in_threadpool(save)
    made = ",".join(map(str, numbers))
    return redirect(
        f"/console/rules?made={made}", f"Saved {len(numbers)} rules. Lists follow within seconds."
    )


def _fill(recommender: Recommender, content: StudioContent) -> None:
    query, data = content.request, recommender.data
    # first, so that a change can be taken back where the rest fails
    content.changes = [
        StudioChange(
            text=text_of(change, data.catalogue),
            without=query.address(change=[other for other in query.change if other != change]),
        )
        for change in query.change
    ]
    with unit_of_work() as session:
        content.audiences = audience_choices(session)
    if query.audience not in dict(content.audiences):
        raise NotFound(f"There is no stored segment {query.audience!r}; choose another one.")
    members = first_members(query.audience)
    content.members = [own_id for _, own_id in members]
    segment = content.segment = previewed(data.catalogue, query.segment) if query.segment else None
    user = query.user
    if not user and segment:
        user = segment.people[0].own_id
    elif not user and members and not query.session:
        user = members[0][1]
    wanted = _request(data.catalogue, query, user)
    drafts = [
        rule_of(change, query.placement, data.catalogue, "draft", None, None, False).as_rule(-number)
        for number, change in enumerate(query.change, 1)
    ]
    drafted = DraftedRules(recommender, drafts, query.audience)
    content.concerned = drafted.concern(wanted.user)
    model, before, after = _compare(recommender, wanted, drafted)
    limit = query.limit
    old, new = before.entries[:limit], after.entries[:limit]
    content.model = model
    content.before = products_of(data.catalogue, old, rules=before.rules)
    places = {entry.product: place for place, entry in enumerate(before.entries, 1)}
    factors = {int(match["factored"]): float(match["factor"]) for match in factors_of(query.change)}
    for product in products_of(data.catalogue, new, rules=after.rules):
        number = product.product_id
        content.cards.append(
            StudioCard(
                product=product,
                before=places.get(number),
                factor=factors.get(number, 1.0),
                hide=query.address(change=[*without_product(query.change, number), f"hide:{number}"]),
                kept=without_product(query.change, number),
            )
        )
    listed = {entry.product for entry in new}
    content.gone = products_of(data.catalogue, [entry for entry in old if entry.product not in listed])
    content.expected_before, content.expected_after = _expected(old), _expected(new)
    content.people_address = query.address(people=True)
    if segment is not None:
        pages = [_pages(recommender, wanted, drafted, person.user_id) for person in segment.people]
        segment.products = listed_products(
            data.catalogue, [([e.product for e in old], [e.product for e in new]) for old, new in pages]
        )
    if query.people and query.change:
        accounts = [(person.user_id, person.own_id) for person in segment.people] if segment else members
        content.people = _people(recommender, wanted, drafted, accounts or None)
        content.people_before = sum(each.expected_before for each in content.people)
        content.people_after = sum(each.expected_after for each in content.people)


def _request(catalogue: Catalogue, query: StudioRequest, user_words: str) -> RecommendationRequest:
    """Return the request of the list. Raises NotFound, and Invalid where the placement needs a product."""
    user, start = user_named(user_words), product_named(catalogue, query.start)
    if query.placement in NEED_PRODUCT and start is None:
        raise Invalid("This placement starts from a product: name it in “List starts from”.")
    category = category_named(query.category)
    return RecommendationRequest(
        query.placement,
        user,
        session=query.session.strip() or None if user is None else None,
        products=() if start is None else (start,),
        limit=query.limit,
        novelty=query.novelty,
        filters=Filters(categories=() if category is None else (category,), in_stock=query.in_stock or None),
        diversity=query.diversity,
    )


def _compare(
    recommender: Recommender, wanted: RecommendationRequest, drafted: DraftedRules
) -> tuple[str | None, RerankedList, RerankedList]:
    """Return the model, the list with the rules in force, and the list with the drafts, too."""
    ranked, filtered = recommender.without_rules(wanted)
    before, after = (
        rerank(compiled, wanted, ranked.entries, filtered.eligible)
        for compiled in drafted.of_visitor(wanted.user)
    )
    return None if ranked.model is None else ranked.model.registered.name, before, after


def _pages(
    recommender: Recommender, wanted: RecommendationRequest, drafted: DraftedRules, user: int
) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Return the first page of a person with the rules in force, and with the drafts, too."""
    _, before, after = _compare(recommender, replace(wanted, user=user, session=None), drafted)
    return before.entries[: wanted.limit], after.entries[: wanted.limit]


def _people(
    recommender: Recommender,
    wanted: RecommendationRequest,
    drafted: DraftedRules,
    accounts: Sequence[tuple[int, str]] | None,
) -> list[ComparedPerson]:
    """Return the effect on the first page of people: of these, or of those who were active lately."""
    catalogue = recommender.data.catalogue
    if accounts is None:
        with unit_of_work() as session:
            rows = recently_active(session, COMPARED_PEOPLE)
            accounts = [(row.id, row.full_name or row.username or "") for row in rows]
    compared = []
    for number, name in accounts:
        old, new = _pages(recommender, wanted, drafted, number)
        old_products, new_products = ([entry.product for entry in page] for page in (old, new))
        compared.append(
            ComparedPerson(
                user_id=number,
                name=name,
                added=[catalogue.name(each) or "" for each in new_products if each not in old_products],
                removed=[catalogue.name(each) or "" for each in old_products if each not in new_products],
                moved=sum(
                    each in old_products and old_products.index(each) != place
                    for place, each in enumerate(new_products)
                ),
                expected_before=_expected(old),
                expected_after=_expected(new),
            )
        )
    return compared


def _expected(entries: Sequence[Entry]) -> float:
    """How many products of a page are expected to be taken: the sum of the calibrated scores."""
    return sum(entry.score for entry in entries) / SCORE_UNIT
