"""`recsys train evaluate --served`: what a shop is served beside the model's own lists, on real servers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from features.build.builder import build
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn, TargetIn
from recsys.domains.recommendations.rules.types import RuleKind
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.domains.recommendations.stored_lists.user_lists import read_lists
from recsys.errors import Conflict, Invalid, NotFound
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import kinds_of_shops, shopping
from tests.serving.api.answers import execute
from tests.serving.running import running
from tests.support.shop import Shop
from training.commands.served_output import served_verdict
from training.fit.evaluate_registered import open_dataset
from training.progress import Steps
from training.served_evaluation.differences import ServedFigure
from training.served_evaluation.evaluate import ServedReport, measure_served

QUESTIONS = ("any", "new")
MODELS = {"groceries": "tifu_knn", "durable goods": "item_knn", "event log": "co_visitation"}


@pytest.fixture(params=sorted(MODELS))
def plain_shop(shop: Shop, request: pytest.FixtureRequest) -> Iterator[tuple[Shop, httpx.Client]]:
    """A shop with a model that learned from all but the last days, and lists from before these; its API."""
    yield from _opened(shop, request.param)


@pytest.fixture
def grocer(shop: Shop) -> Iterator[tuple[Shop, httpx.Client]]:
    """The same, of one kind."""
    yield from _opened(shop, "groceries")


def _opened(shop: Shop, kind: str) -> Iterator[tuple[Shop, httpx.Client]]:
    kinds_of_shops.open_shop(shop.database_url, kind)
    cut = execute(shop, "SELECT max(created_at) FROM recommendations_db.user_interactions")[0][0]
    cut -= timedelta(days=12)
    execute(
        shop,
        "CREATE TABLE later AS SELECT * FROM recommendations_db.user_interactions WHERE created_at > %s",
        cut,
    )
    execute(shop, "DELETE FROM recommendations_db.user_interactions WHERE created_at > %s", cut)
    shopping.promote(shopping.fit(MODELS[kind]), "the-model")
    scoring.score()
    with running(create_app()) as client:
        yield shop, client


def arrive(shop: Shop) -> None:
    """What users did after the training comes in, past the API, and a snapshot holds it."""
    execute(shop, "INSERT INTO recommendations_db.user_interactions SELECT * FROM later")
    build(get_settings())


def measured(client: httpx.Client | None = None, **options: Any) -> ServedReport:
    defaults: dict[str, Any] = {"name": None, "key": None, "days": None, "draws": 100, "seed": 0}
    api = None if client is None else str(client.base_url)
    return measure_served(open_dataset(), api=api, steps=Steps(), **(defaults | options))


def swap_places(report: ServedReport) -> None:
    """Exchange the first and the 20th product of every stored list of any product."""
    with unit_of_work() as session:
        lists = read_lists(session, open_dataset().users.ids.tolist())
    swapped = {}
    for user, stored in lists.items():
        entries = list(stored.entries)
        entries[0], entries[19] = entries[19], entries[0]
        names = stored.generation, stored.model, stored.version
        swapped[user] = pack(StoredList(*names, entries, stored.made_at, stored.new))
    with copy_connection("recommendations") as connection:
        connection.cursor().executemany(
            "UPDATE recommendations_db.stored_lists SET list = %s WHERE user_id = %s AND generation_id = %s",
            [(packed, user, report.generation) for user, packed in swapped.items()],
        )


def by_way(report: ServedReport) -> dict[tuple[str, str], ServedFigure]:
    return {(one.question, one.source): one for one in report.figures}


def test_all_ways_of_reading_agree_exactly_on_a_plain_shop(plain_shop: tuple[Shop, httpx.Client]) -> None:
    shop, client = plain_shop
    arrive(shop)
    report = measured(client)
    figures = by_way(report)
    assert set(figures) == {
        (question, source) for question in QUESTIONS for source in ("stored", "table", "api")
    }
    assert any(one.ndcg.value > 0 for one in report.figures)
    once = not execute(shop, "SELECT repeat_purchases FROM recommendations_db.category_policies")[0][0]
    for (question, _), one in figures.items():
        assert one.users == report.users[question] > 10
        if once and question == "any":  # what was bought before is not shown again
            assert set(one.causes) == {"policy"}
            assert not one.agrees, "the model's own lists waste places on what nobody buys twice"
        else:
            assert set(one.causes) <= {"filled"}, "the model's order from the first place to the last"
            assert one.ndcg == one.offline
            assert one.agrees


def test_where_nothing_happened_yet_the_places_are_compared(grocer: tuple[Shop, httpx.Client]) -> None:
    _, client = grocer
    build(get_settings())
    report = measured(client)
    assert not report.judged
    assert report.agree
    for one in report.figures:
        assert one.users == report.listed[one.question] > 10
        assert math.isnan(one.ndcg.value)
        assert set(one.causes) <= {"filled"}
    assert served_verdict(report).endswith("differ for an unknown reason.")
    swap_places(report)
    wrong = measured()
    assert not wrong.agree
    assert sum(one.causes.get("other", 0) for one in wrong.figures if one.source == "stored") > 0


def test_a_product_hidden_after_scoring_and_a_dismissed_one_are_distinguished(
    grocer: tuple[Shop, httpx.Client],
) -> None:
    shop, client = grocer
    arrive(shop)
    users = execute(shop, "SELECT DISTINCT user_id FROM recommendations_db.stored_lists ORDER BY 1")
    with unit_of_work() as session:
        lists = read_lists(session, [row[0] for row in users])
    first = [lists[user].entries[0].product for user in lists]
    hidden = max(set(first), key=first.count)
    execute(shop, "UPDATE products_db.products SET status = 'draft' WHERE id = %s", hidden)
    hiding = by_way(measured())
    for source in ("stored", "table"):
        assert hiding["any", source].causes.get("hidden", 0) > 0
        assert set(hiding["any", source].causes) == {"hidden"}
    execute(shop, "UPDATE products_db.products SET status = 'active' WHERE id = %s", hidden)

    for user, stored in lists.items():
        execute(
            shop,
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) "
            "SELECT %s, %s, 'dismissed', min(created_at) - interval '1 second' FROM later",
            user,
            stored.entries[2].product,
        )
    scoring.score()
    after = by_way(measured(client))
    for source in ("stored", "table"):
        assert after["any", source].causes["policy"] > after["any", source].users
        assert "other" not in after["any", source].causes
        assert "hidden" not in after["any", source].causes


def test_a_wrong_order_in_a_stored_list_is_reported_and_fails_the_line(
    grocer: tuple[Shop, httpx.Client],
) -> None:
    shop, _ = grocer
    arrive(shop)
    report = measured()
    right = by_way(report)["any", "stored"]
    swap_places(report)
    wrong = measured()
    figures = by_way(wrong)["any", "stored"]
    assert figures.causes == {"other": 2 * figures.users}
    assert figures.differing == 2 * figures.users
    assert figures.users == right.users
    assert not figures.agrees
    assert not wrong.agree
    assert by_way(wrong)["new", "stored"].agrees
    assert by_way(wrong)["any", "table"].causes == {}

    process = shop.run("train", "evaluate", "--served", "--draws", 100)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].startswith(
        "What is served differs from the model's own lists: any product, stored"
    )
    assert "other 10.0%" in process.stdout.splitlines()[-1]
    values = json.loads(shop.run("train", "evaluate", "--served", "--json", "--draws", 100).stdout)
    assert values["agree"] is False
    (row,) = [one for one in values["figures"] if (one["question"], one["source"]) == ("any", "stored")]
    assert row["share_differing"] == 0.1
    assert row["causes"] == {"other": 2 * figures.users}


def test_lists_that_know_of_newer_events_say_so(grocer: tuple[Shop, httpx.Client]) -> None:
    shop, _ = grocer
    arrive(shop)
    scoring.score()
    figures = by_way(measured())
    assert figures["new", "stored"].causes["newer"] > 0
    assert "other" not in figures["new", "stored"].causes
    assert figures["new", "stored"].informed == figures["new", "stored"].users


def test_answers_that_are_folded_in_or_ruled_are_distinguished(grocer: tuple[Shop, httpx.Client]) -> None:
    shop, client = grocer
    arrive(shop)
    with unit_of_work() as session:
        lists = read_lists(session, open_dataset().users.ids.tolist())
    for user, stored in list(lists.items())[:10]:
        event = {"user_id": user, "product_id": stored.entries[25].product, "interaction_type": "purchase"}
        client.post("/api/v1/interactions", json=event).raise_for_status()
    folded = by_way(measured(client))["any", "api"]
    assert folded.causes["newer"] > 0
    assert set(folded.causes) <= {"newer", "filled"}

    first = [stored.entries[0].product for stored in lists.values()]
    target = TargetIn(product_ids=[max(set(first), key=first.count)])
    with unit_of_work() as session:
        rules.create(session, RuleIn(name="away", kind=RuleKind.HIDE, target=target), actor="tester")
    with running(create_app()) as ruled:
        figures = by_way(measured(ruled))
    assert figures["any", "api"].causes["rules"] > 0
    assert figures["any", "api"].causes["newer"] > 0
    assert set(figures["any", "stored"].causes) <= {"filled"}


def test_an_api_that_asks_for_a_key_gets_it(
    grocer: tuple[Shop, httpx.Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop, client = grocer
    arrive(shop)
    monkeypatch.setenv("RECSYS_API__HOST", "0.0.0.0")
    get_settings.cache_clear()
    ask = "train", "evaluate", "--served", "--json", "--draws", 100, "--api", client.base_url
    refused = shop.run(*ask)
    assert refused.returncode == 2
    assert "--api-key-file" in refused.stderr
    key = shop.run("keys", "create", "checker", "--scope", "recommend").stdout.strip()
    file = tmp_path / "key"
    file.write_text(key + "\n")
    by_file = shop.run(*ask, "--api-key-file", file)
    by_environment = shop.run(*ask, RECSYS_API_KEY=key)
    assert by_file.returncode == 0, by_file.stderr
    assert json.loads(by_file.stdout) == json.loads(by_environment.stdout)
    assert {one["source"] for one in json.loads(by_file.stdout)["figures"]} == {"stored", "table", "api"}
    assert key not in by_file.stdout + by_file.stderr


def test_what_cannot_be_measured_says_what_to_do(grocer: tuple[Shop, httpx.Client]) -> None:
    shop, _ = grocer
    process = shop.run("train", "evaluate", "--served", "--test-days", "3")
    assert process.returncode == 2
    assert "features build" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    arrive(shop)
    with pytest.raises(Invalid, match="the-model serves, not another"):
        measured(name="another")
    with pytest.raises(Invalid, match="is not an address"):
        measured_at("file:///etc/passwd")
    execute(shop, "UPDATE recommendations_db.recommendation_generations SET model_name = 'former'")
    with pytest.raises(Conflict, match="serve score"):
        measured()
    execute(shop, "UPDATE recommendations_db.recommendation_generations SET status = 'retired'")
    with pytest.raises(NotFound, match="serve score"):
        measured()
    for arguments in ([], ["the-model", "--api", "http://127.0.0.1:1"], ["a", "b", "--served"]):
        assert shop.run("train", "evaluate", *arguments).returncode == 2


def measured_at(api: str) -> ServedReport:
    return measure_served(
        open_dataset(), name=None, api=api, key=None, days=None, draws=100, seed=0, steps=Steps()
    )
