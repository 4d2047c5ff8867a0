"""Search: a query with the parts of its scores, queries without results, clicks by place, and synonyms."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.errors import RecsysError
from recsys.search import report as search_report
from recsys.search.analysis.analyser import Analyser, analyser
from recsys.search.score_parts import ExplainedSearch, explain
from recsys.search.synonyms import service as synonyms
from recsys.search.synonyms.routes import SynonymIn
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser, Viewer
from serving.console.list_screens.displayed_lists import ScorePart
from serving.console.list_screens.naming import checked, user_named
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.recommender import Recommender

__all__ = ["SearchContent", "router"]

router = screen_router("search")
RESULTS = 12
MOST_QUERIES = 20
MOST_GROUPS = 200
SynonymId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class SearchMatch(BaseModel):
    """One match.

    Attributes
    ----------
    parts
        Text, popularity and taste, which add up to `worth`.
    """

    position: int
    product_id: int
    name: str
    sku: str | None
    worth: float
    parts: list[ScorePart]


class CountedQuery(BaseModel):
    """A query that was searched for."""

    query: str
    searches: int
    empty: int


class ClicksAtPlace(BaseModel):
    """Clicks on one position.

    Attributes
    ----------
    place
        Such as "3", or "after 10".
    """

    place: str
    clicks: int
    share: float


class SynonymGroup(BaseModel):
    """Phrases that stand for one another."""

    id: int
    version: int
    phrases: str
    created_by: str


class SearchContent(BaseModel):
    """The content of the screen."""

    query: str
    user: str
    days: int
    words: list[str]
    synonyms_used: list[str]
    any_word: bool
    did_you_mean: str | None
    total: int
    matches: list[SearchMatch]
    most: float
    problem: str | None
    searches: int
    empty: int
    clicks: int
    without_results: list[CountedQuery]
    frequent: list[CountedQuery]
    clicks_by_place: list[ClicksAtPlace]
    groups: list[SynonymGroup]
    backend: str


@router.get("")
def search(
    request: Request,
    user_of_console: Viewer,
    q: Annotated[str, Query(max_length=200)] = "",
    user: Annotated[str, Query(max_length=255)] = "",
    days: Annotated[int, Query(ge=1, le=search_report.KEPT_DAYS)] = 28,
) -> Response:
    """Try a query, and see what people search for."""
    recommender: Recommender = request.app.state.recommender
    explained, problem = None, None
    try:
        if q.strip():
            person = user_named(user)
            with unit_of_work() as session:
                explained = explain(session, q, user_id=person, limit=RESULTS)
    except RecsysError as error:
        problem = error.message
    with unit_of_work() as session:
        report = search_report.report(session, days=days, most=MOST_QUERIES)
        groups = [
            SynonymGroup(
                id=row.id, version=row.version, phrases=", ".join(row.phrases), created_by=row.created_by
            )
            for row in synonyms.listed(session, limit=MOST_GROUPS)
        ]
    most_clicks = max(report.clicks_by_position.values(), default=0) or 1
    matches = _matches(explained, recommender.data.catalogue)
    content = SearchContent(
        query=q.strip(),
        user=user,
        days=days,
        words=[] if explained is None else list(explained.words),
        synonyms_used=[] if explained is None else [", ".join(group) for group in explained.synonyms],
        any_word=explained is not None and explained.any_word,
        did_you_mean=None if explained is None else explained.did_you_mean,
        total=0 if explained is None else explained.total,
        matches=matches,
        most=max((match.worth for match in matches), default=0.0) or 1.0,
        problem=problem,
        searches=report.searches,
        empty=report.empty,
        clicks=report.clicks,
        without_results=[_counted(each) for each in report.without_results],
        frequent=[_counted(each) for each in report.most_asked],
        clicks_by_place=[
            ClicksAtPlace(
                place=str(place) if place else "after 10", clicks=clicks, share=clicks / most_clicks
            )
            for place, clicks in sorted(report.clicks_by_position.items(), key=lambda pair: pair[0] or 99)
        ],
        groups=groups,
        backend="PostgreSQL" if get_settings().search.url is None else "Elasticsearch or OpenSearch",
    )
    return TEMPLATES.page(request, "console/search.html.j2", content)


@router.post("/synonyms")
def create_synonyms(user: Merchandiser, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Store a group of synonyms."""
    given = _group_of(form)
    with unit_of_work() as session:
        synonyms.create(session, _analyser(), given.phrases, actor=user.actor)
    return redirect("/console/search#synonyms", "Saved. Searches use the group within two seconds.")


@router.post("/synonyms/{synonym_id}")
def replace_synonyms(
    user: Merchandiser, synonym_id: SynonymId, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Replace the phrases of a group."""
    given = _group_of(form)
    with unit_of_work() as session:
        synonyms.replace(
            session, _analyser(), synonym_id, given.phrases, version=form.version(), actor=user.actor
        )
    return redirect("/console/search#synonyms", "Saved. Searches use the group within two seconds.")


@router.post("/synonyms/{synonym_id}/delete")
def delete_synonyms(
    user: Merchandiser, synonym_id: SynonymId, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Delete a group; its changes stay."""
    with unit_of_work() as session:
        synonyms.delete(session, synonym_id, version=form.version(), actor=user.actor)
    return redirect("/console/search#synonyms", "Deleted. Searches follow within two seconds.")


def _matches(explained: ExplainedSearch | None, catalogue: Catalogue) -> list[SearchMatch]:
    """The matches with the parts of their scores: the text, and what popularity and taste add to it."""
    matches = []
    for position, hit in enumerate(() if explained is None else explained.hits, 1):
        name, sku = catalogue.label(hit.product_id)
        popular = hit.text * (hit.popularity or 0.0)
        matches.append(
            SearchMatch(
                position=position,
                product_id=hit.product_id,
                name=name or f"product {hit.product_id}",
                sku=sku,
                worth=hit.worth,
                parts=[
                    ScorePart(label="text", value=hit.text),
                    ScorePart(label="popularity", value=popular),
                    ScorePart(label="taste of the person", value=hit.worth - hit.text - popular),
                ],
            )
        )
    return matches


def _counted(each: search_report.QueryCount) -> CountedQuery:
    return CountedQuery(query=each.query, searches=each.searches, empty=each.empty)


def _group_of(form: SubmittedForm) -> SynonymIn:
    phrases = [each.strip() for each in form.text("phrases").replace("\n", ",").split(",") if each.strip()]
    return checked(SynonymIn, {"phrases": phrases})


def _analyser() -> Analyser:
    return analyser(get_settings().search.language)
