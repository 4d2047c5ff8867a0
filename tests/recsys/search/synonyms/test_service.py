"""Synonyms over HTTP: edited with versions and a history, and followed by searches without a reindex."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recsys.search.synonyms import service as synonyms
from tests.journeys.conftest import Counter

PATH = "/admin/search/synonyms"


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """The groups of one test are not another's."""
    synonyms.forget()
    yield
    synonyms.forget()


def found(counter: Counter, query: str) -> list[str]:
    return [one["name"] for one in counter.send("GET", f"/search/products?fuzzy=false&q={query}")["items"]]


def test_searches_follow_each_change_at_once(counter: Counter) -> None:
    counter.product("Bath tissue 6 rolls", slug="a")
    counter.product("Solid state drive 1 TB", slug="b")
    counter.settle_events()
    assert found(counter, "toilet+paper") == found(counter, "ssd") == []
    paper = counter.send(
        "POST",
        PATH,
        who=counter.admin,
        json={"phrases": ["Toilet paper", " bath tissue "]},
        status=201,
    )
    drive = counter.send(
        "POST", PATH, who=counter.admin, json={"phrases": ["SSD", "solid state drive"]}, status=201
    )
    assert paper["phrases"] == ["Toilet paper", "bath tissue"]
    assert found(counter, "toilet+papers") == ["Bath tissue 6 rolls"]
    assert found(counter, "ssd+1tb") == ["Solid state drive 1 TB"]
    assert counter.send("GET", "/search/products?q=toilet+paper")["any_word"] is False
    counter.send(
        "PUT",
        f"{PATH}/{paper['id']}",
        who=counter.admin,
        If_Match='"1"',
        json={"phrases": ["loo roll", "bath tissue"]},
    )
    assert found(counter, "toilet+paper") == []
    assert found(counter, "loo+roll") == ["Bath tissue 6 rolls"]
    counter.send("DELETE", f"{PATH}/{drive['id']}", who=counter.admin, status=204)
    assert found(counter, "ssd") == []
    listed = counter.send("GET", PATH, who=counter.admin)
    assert [(one["id"], one["version"]) for one in listed["items"]] == [(paper["id"], 2)]


def test_each_change_is_kept_with_who_made_it(counter: Counter) -> None:
    made = counter.send("POST", PATH, who=counter.admin, json={"phrases": ["sofa", "couch"]}, status=201)[
        "id"
    ]
    one = f"{PATH}/{made}"
    body = {"phrases": ["sofa", "couch", "settee"]}
    counter.send("PUT", one, who=counter.admin, If_Match='"1"', json=body)
    counter.send("PUT", one, who=counter.admin, If_Match='"1"', json=body, status=409)
    counter.send("PUT", one, who=counter.admin, If_Match="1", json=body, status=422)
    counter.send("DELETE", one, who=counter.admin, If_Match='"2"', status=204)
    counter.send("GET", one, who=counter.admin, status=404)
    changes = counter.send("GET", f"{one}/changes", who=counter.admin)["items"]
    assert [(row["action"], row["before"], row["after"]) for row in changes] == [
        ("deleted", body["phrases"], None),
        ("replaced", ["sofa", "couch"], body["phrases"]),
        ("created", None, ["sofa", "couch"]),
    ]
    assert {row["actor"] for row in changes} == {f"user {counter.admin.id}"}
    page = counter.send("GET", f"{one}/changes?limit=2", who=counter.admin)
    rest = counter.send("GET", f"{one}/changes?cursor={page['next_cursor']}", who=counter.admin)
    assert page["items"] + rest["items"] == changes
    counter.send("GET", f"{PATH}/{made + 1}/changes", who=counter.admin, status=404)


def test_a_phrase_is_in_one_group_only(counter: Counter) -> None:
    made = counter.send("POST", PATH, who=counter.admin, json={"phrases": ["sofa", "couch"]}, status=201)
    for phrases in (["Couches", "settee"], ["café", "cafe"]):
        counter.send("POST", PATH, who=counter.admin, json={"phrases": phrases}, status=409)
    counter.send(
        "PUT",
        f"{PATH}/{made['id']}",
        who=counter.admin,
        If_Match="*",
        json={"phrases": ["couch", "sofa bed"]},
    )


@pytest.mark.parametrize(
    "phrases", [[], ["sofa"], ["sofa", "*"], ["sofa", ""], ["sofa", "a b c d e f g"], ["sofa", "x" * 101]]
)
def test_groups_that_make_no_sense_are_refused(counter: Counter, phrases: list[str]) -> None:
    counter.send("POST", PATH, who=counter.admin, json={"phrases": phrases}, status=422)


def test_only_administrators_edit_synonyms(counter: Counter) -> None:
    ann = counter.desk.person("ann")
    body = {"phrases": ["sofa", "couch"]}
    counter.send("POST", PATH, who=ann, json=body, status=403)
    counter.send("GET", PATH, who=ann, status=403)
    counter.send("GET", PATH, status=401)
