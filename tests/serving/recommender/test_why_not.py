"""The answer to "why, and why not" agrees with the list that is served, for every product of a shop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.segments import service as segments
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT
from recsys.domains.users.api_keys import service as api_keys
from serving.batch import scoring
from serving.ranking.eligibility import Novelty
from serving.recommender import why_not
from serving.recommender.product_trace import ProductTrace, TraceStepName
from serving.recommender.request import Filters, Placement, RecommendationRequest
from serving.server.app import create_app
from tests.models.hybrid.members import SMALL
from tests.serving import shopping
from tests.support.shop import Shop

Step = TraceStepName
LATE = range(121, 331)
"""Products that came after the training, of a category without any that the model knows."""
DRAFT, SOLD_OUT, DISMISSED, HIDDEN, PINNED = 7, 8, 9, 10, 88


def rule(**given: Any) -> int:
    with unit_of_work() as session:
        return rules.create(session, RuleIn.model_validate(given), actor="test").id


def key_of(scope: str) -> str:
    """A new API key with this scope."""
    with unit_of_work() as session:
        return api_keys.create(session, scope, [scope], by="tests").key


@pytest.fixture
def changed_shop(trained_shop: Shop) -> Shop:
    """A scored shop in which each step loses a product: stored lists are older than some of the changes."""
    with trained_shop.connect() as connection:
        connection.execute("INSERT INTO products_db.categories (id, name, slug) VALUES (6, 'Late', 'late')")
        connection.execute("INSERT INTO recommendations_db.category_policies VALUES (4, false)")
    scoring.score()
    with trained_shop.connect() as connection:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO products_db.products (id, name, slug, sku, price, category_id, created_at) "
                "VALUES (%s, %s, %s, %s, 500, 6, %s)",
                [(i, f"Late {i}", f"p{i}", f"sku{i}", shopping.START) for i in LATE],
            )
        connection.execute("UPDATE products_db.products SET status = 'draft' WHERE id = %s", [DRAFT])
        connection.execute(
            "UPDATE products_db.product_variants SET inventory_quantity = 0 WHERE product_id = %s", [SOLD_OUT]
        )
        connection.execute(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES (1, %s, 'dismissed', now())",
            [DISMISSED],
        )
    rule(name="recall", kind="hide", target={"product_ids": [HIDDEN]})
    rule(name="lamp", kind="pin", target={"product_ids": [PINNED]}, position=2, shelves=["for_you"])
    rule(name="chairs", kind="cap", target={"category_id": 5}, cap_by="together", most=2, shelves=["for_you"])
    return trained_shop


@dataclass
class Compared:
    """A served list over HTTP, and the trace of every product of the shop."""

    pages: list[dict[str, Any]] = field(default_factory=list)
    traces: dict[int, ProductTrace] = field(default_factory=dict)

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item for page in self.pages for item in page["items"]]


def compare(requests: Sequence[tuple[RecommendationRequest, str, dict[str, Any]]]) -> list[Compared]:
    """For each request, by its Python and by its HTTP form, what is served and what the traces say."""

    async def run() -> list[Compared]:
        app = create_app()
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return [await one(app.state.recommender, client, *request) for request in requests]

    async def one(
        recommender: Any,
        client: httpx.AsyncClient,
        request: RecommendationRequest,
        path: str,
        query: dict[str, Any],
    ) -> Compared:
        compared = Compared()
        cursor: str | None = None
        while not compared.pages or cursor is not None:
            parameters = query | {"limit": request.limit} | ({} if cursor is None else {"cursor": cursor})
            answer = (await client.get(path, params=parameters)).raise_for_status().json()
            compared.pages.append(answer)
            cursor = answer["next_cursor"]
        everything = recommender.data.catalogue.ids.tolist()
        traces = await recommender.trace(request, everything)
        compared.traces = dict(zip(everything, traces, strict=True))
        return compared

    return asyncio.run(run())


def check(compared: Compared, limit: int) -> None:
    """Every trace says what the pages show, and exactly one step lost each missing product."""
    placed = {item["product_id"]: (place, item) for place, item in enumerate(compared.items, 1)}
    assert placed
    for product, trace in compared.traces.items():
        assert trace.product_id == product
        assert trace.listed == (product in placed)
        failed = [step.name for step in trace.steps if step.passed is False]
        assert failed == ([] if trace.lost_at is None else [trace.lost_at])
        states = [step.passed for step in trace.steps]
        assert states == sorted(states, key=[True, False, None].index)
        assert all(step.text for step in trace.steps)
        if product in placed:
            place, item = placed[product]
            assert (trace.position, trace.page) == (place, (place - 1) // limit + 1)
            assert (trace.score, trace.reason) == (item["score"], item["reason"]["text"])
            assert trace.lost_at == (None if place <= limit else Step.PAGE)
        else:
            assert (trace.position, trace.page, trace.score) == (None, None, None)
            assert trace.lost_at not in (None, Step.PAGE, Step.DEADLINE)


LIST = "/api/v1/users/{}/recommendations"
REQUESTS: list[tuple[RecommendationRequest, str, dict[str, Any]]] = [
    (RecommendationRequest(user=12, limit=9), LIST.format(12), {}),
    (RecommendationRequest(user=25, novelty=Novelty.NEW), LIST.format(25), {"novelty": "new"}),
    (RecommendationRequest(user=1), LIST.format(1), {}),
    (
        RecommendationRequest(user=12, limit=10, filters=Filters(min_price=3.0, max_price=499.0)),
        LIST.format(12),
        {"min_price": 3, "max_price": 499},
    ),
    (
        RecommendationRequest(user=2, limit=7, filters=Filters(categories=(3,)), diversity=0.5),
        LIST.format(2),
        {"category": 3, "diversity": 0.5},
    ),
    (
        RecommendationRequest(Placement.BUY_AGAIN, 3),
        LIST.format(3),
        {"placement": "buy_again"},
    ),
    (RecommendationRequest(Placement.POPULAR), "/api/v1/products/popular", {}),
    (RecommendationRequest(Placement.SIMILAR, products=(5,)), "/api/v1/products/5/similar", {}),
    (RecommendationRequest(user=999_999), LIST.format(999_999), {}),
]


def test_every_product_of_every_list_is_where_its_trace_says(changed_shop: Shop) -> None:
    results = compare(REQUESTS)
    lost: Counter[TraceStepName] = Counter()
    for (request, _, _), compared in zip(REQUESTS, results, strict=True):
        assert len(compared.traces) == shopping.PRODUCTS + len(LATE)
        check(compared, request.limit)
        lost.update(trace.lost_at for trace in compared.traces.values() if trace.lost_at is not None)
        removed = compared.pages[0]["provenance"].get("filters", {}).get("removed")
        if removed is not None and compared.pages[0]["provenance"]["source"] != "stored":
            # the counts of a live list are those of the traces, step by step
            counts = Counter(trace.lost_at for trace in compared.traces.values())
            assert counts[Step.SOLD] == removed.get("not_sold", 0)
            assert counts[Step.HIDE_RULES] == removed.get("rules", 0)
            history = ("dismissed", "bought", "not_new")
            assert counts[Step.HISTORY] == sum(removed.get(reason, 0) for reason in history)
            assert counts[Step.POSITION_RULES] >= sum(
                count for reason, count in removed.items() if reason.startswith("rule.")
            )
    assert lost.keys() == set(Step) - {Step.DEADLINE}
    of_first = results[0].traces
    assert of_first[DRAFT].summary == (
        "It is not on sale: its status is “draft”, and only active ones are listed."
    )
    assert "no variant is in stock" in of_first[SOLD_OUT].summary
    assert of_first[HIDDEN].summary == "The rule “recall” hides it."
    assert results[1].traces[PINNED].position == 2
    assert [(rule.name, rule.decides) for rule in of_first[HIDDEN].rules] == [("recall", True)]
    dismissed = results[2].traces[DISMISSED]
    assert (dismissed.lost_at, dismissed.feedback[0].name) == (Step.HISTORY, "dismissed")
    late = results[3].traces
    assert late[121].lost_at is Step.FILTERS
    known = late[70] if late[70].listed else late[65]
    assert [member.member for member in known.members] == ["item_knn"]


def test_the_parts_of_a_score_add_up(changed_shop: Shop) -> None:
    ((compared,),) = [compare(REQUESTS[:1])]
    explained = [trace.explanation for trace in compared.traces.values() if trace.explanation is not None]
    assert len(explained) > 50
    for parts in explained:
        total = parts["baseline"] + sum(part["adds"] for part in parts["parts"]) + parts["others"]
        assert total == pytest.approx(parts["raw_score"], abs=1e-4)


def test_a_hybrids_candidates_name_their_members(open_shop: Shop) -> None:
    shopping.promote(shopping.fit("hybrid", members=SMALL, candidates=20, trees=20, k=10), "hybrid-v1")
    request = RecommendationRequest(user=5, filters=Filters(min_price=0.0))
    (compared,) = compare([(request, LIST.format(5), {"min_price": 0})])
    check(compared, request.limit)
    by_model = 0
    for trace in compared.traces.values():
        assert {member.member for member in trace.members} <= set(SMALL)
        for member in trace.members:
            assert member.names is False or member.position is not None
        candidate = next(step for step in trace.steps if step.name is Step.CANDIDATES)
        naming = [member.member for member in trace.members if member.names]
        if candidate.passed and naming:
            by_model += 1
            assert candidate.text == f"It is a candidate by {', '.join(naming)}."
    assert by_model > 10


def test_a_past_list_is_the_one_that_was_shown(client: httpx.Client, scored_shop: Shop) -> None:
    shown_at = clock.now() - timedelta(hours=2)
    page = Answered(
        "r1", "for_you", "stored", [5, 6, 7], [0.5, 0.4, 0.3], shown_at, 1, None, "knn-v1", "1", 1, None, 20
    )
    older = page._replace(request_id="r0", products=[9, 6, 8], shown_at=shown_at - timedelta(days=1))
    with unit_of_work() as session:
        assert impressions.store(session, [page, older]) == 2
        hide = RuleIn.model_validate({"name": "h", "kind": "hide", "target": {"product_ids": [11]}})
        rules.create(session, hide, actor="test")
    headers = {"X-Api-Key": key_of("admin")}

    def ask(product: int, **query: Any) -> httpx.Response:
        given = {"product": product, "user": "username:u1", "at": clock.now().isoformat()} | query
        return client.get("/api/v1/recommendations/why/past", params=given, headers=headers)

    there = ask(6).json()
    assert (there["listed"], there["position"], there["request_id"]) == (True, 22, "r1")
    assert [each["request_id"] for each in there["impressions"]] == ["r1", "r0"]
    assert there["score"] == pytest.approx(0.4)
    assert (there["first_position"], there["products"]) == (21, [5, 6, 7])
    assert there["scores"] == pytest.approx([0.5, 0.4, 0.3])
    assert there["ranked_position"] is None
    missing = ask(9).json()
    assert (
        f"They last saw it in this list at position 21, at {older.shown_at:%Y-%m-%d %H:%M}"
        in missing["summary"]
    )
    assert (missing["listed"], missing["lost_at"]) == (False, "ranking")
    assert [each["position"] for each in missing["impressions"]] == [21]
    # the rule was made after the list was shown
    assert ask(11).json()["lost_at"] == "ranking"
    past = (shown_at - timedelta(hours=5)).isoformat()
    assert ask(9, at=past).json()["listed"] is True
    assert ask(9, at=(shown_at - timedelta(days=9)).isoformat()).status_code == 404
    assert ask(9, user="").status_code == 422
    assert ask(987_654).status_code == 404
    assert (
        client.get(
            "/api/v1/recommendations/why/past", params={"product": 9, "user": 1, "at": past}
        ).status_code
        == 401
    )


def test_a_drawn_list_has_the_ranks_that_it_was_drawn_from(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered(
        "r1", "for_you", "stored", [7, 5], [0.3, 0.5], clock.now() - timedelta(hours=1), 1, None, "knn-v1",
        "1", 1, None, 0, [0.1, 0.4], [5, 6, 7, 8],
    )  # fmt: skip
    with unit_of_work() as session:
        impressions.store(session, [page])
    headers, found = {"X-Api-Key": key_of("admin")}, []
    for product in (7, 6, 9):
        query = {"product": product, "user": 1, "at": clock.now().isoformat()}
        answer = client.get("/api/v1/recommendations/why/past", params=query, headers=headers).json()
        found.append((answer["position"], answer["ranked_position"]))
        if product == 6:
            assert (
                "it was not drawn. The list was drawn at random; the model had it at position 2."
                in answer["summary"]
            )
    assert found == [(1, 3), (None, 2), (None, None)]


def test_a_rule_hides_from_the_moment_of_its_creation(client: httpx.Client, scored_shop: Shop) -> None:
    with unit_of_work() as session:
        hide = RuleIn.model_validate({"name": "h", "kind": "hide", "target": {"product_ids": [11]}})
        number = rules.create(session, hide, actor="test").id
    created = clock.now()
    with unit_of_work() as session:
        rules.delete(session, number, version=None, actor="test")
    with unit_of_work() as session:
        assert [each.id for each in rules.in_force_at(session, created)] == [number]
        assert rules.in_force_at(session, clock.now()) == []
        assert rules.in_force_at(session, created - timedelta(hours=1)) == []


def test_a_past_list_knows_the_rules_of_segments(client: httpx.Client, scored_shop: Shop) -> None:
    with unit_of_work() as session:
        segments.write(session, "few", {"kind": "given"}, actor="test")
        segments.set_members(session, "few", [1])
    for product, segment, kind in (
        (11, "few", "hide"), (12, "few", "hide"), (13, "guests", "hide"), (14, None, "hide"),
        (15, "known-users", "hide"), (16, "few", "bury"),
    ):  # fmt: skip
        given = {"factor": 0.5} if kind == "bury" else {}
        target = {"product_ids": [product]}
        rule(name=f"r{product}", kind=kind, target=target, segment=segment, **given)
    pages = [
        Answered(f"r{user}", "for_you", "stored", [5, 6], [0.5, 0.4], clock.now(), user, None, "m", "1", 1)
        for user in (1, 2)
    ]
    with unit_of_work() as session:
        impressions.store(session, pages)
    headers, at = {"X-Api-Key": key_of("admin")}, clock.now().isoformat()

    def ask(product: int, user: int) -> tuple[str, str, list[Any]]:
        query = {"product": product, "user": user, "at": at}
        found = client.get("/api/v1/recommendations/why/past", params=query, headers=headers).json()
        touching = [[each["name"], each["segment"], each["held"]] for each in found["rules"]]
        return found["lost_at"], found["summary"], touching

    lost, text, touching = ask(11, 1)
    assert (lost, touching) == ("hide_rules", [["r11", "few", True]])
    assert text == "The rule “r11” for the segment few hid it then."
    assert ask(11, 2)[0::2] == ("ranking", [["r11", "few", False]])
    assert ask(13, 1)[0::2] == ("ranking", [["r13", "guests", False]])
    assert ask(14, 2)[:2] == ("hide_rules", "The rule “r14” hid it then.")
    assert ask(15, 1)[0::2] == ("hide_rules", [["r15", "known-users", True]])
    assert ask(16, 1)[0::2] == ("ranking", [["r16", "few", True]])
    assert ask(9, 1)[2] == []
    # members that were found again since prove nothing of the past
    with unit_of_work() as session:
        segments.set_members(session, "few", [2])
    for user in (1, 2):
        lost, text, touching = ask(12, user)
        assert (lost, touching) == ("ranking", [["r12", "few", None]])
        assert "“r12” for the segment few hid it, if the user was a member then" in text
    assert ask(16, 1)[1].startswith("Nothing excluded it")


def test_why_is_for_administrators(client: httpx.Client, scored_shop: Shop) -> None:
    path, query = "/api/v1/recommendations/why", {"product": "sku:sku5", "user": "username:u1"}
    assert client.get(path, params=query).status_code == 401
    key = key_of("recommend")
    assert client.get(path, params=query, headers={"X-Api-Key": key}).status_code == 403
    key = key_of("admin")
    answer = client.get(path, params=query, headers={"X-Api-Key": key})
    assert answer.status_code == 200, answer.text
    trace = ProductTrace.model_validate_json(answer.content)
    listed = client.get("/api/v1/users/1/recommendations", params={"limit": 100}).json()["items"]
    positions = [item["product_id"] for item in listed]
    assert trace.position == (positions.index(5) + 1 if 5 in positions else None)
    unknown = client.get(path, params=query | {"product": 999_999}, headers={"X-Api-Key": key})
    assert unknown.status_code == 404


def test_a_catalogue_may_be_larger_than_what_is_ranked_for_a_trace(
    changed_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_not.MAX_RANKED <= SCORE_UNIT, "a list has no more different scores"
    monkeypatch.setattr(why_not, "MAX_RANKED", 25)
    behind = 0
    for (request, _, _), compared in zip(REQUESTS, compare(REQUESTS), strict=True):
        check(compared, request.limit)
        behind += sum("behind the best 25" in trace.summary for trace in compared.traces.values())
        assert all(trace.ranked_products <= 25 for trace in compared.traces.values())
    assert behind > 0
