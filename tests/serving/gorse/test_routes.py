"""What the official client does not call, wrong input, and who may do what."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from recsys.settings import get_settings
from recsys.web.route_names import all_routes
from serving.gorse.bodies import plain_labels
from serving.gorse.routes import router
from serving.server.app import create_app
from tests.serving.gorse.conftest import FormerShop
from tests.serving.running import running
from tests.support.shop import Shop, forget_connections

FEEDBACK = {"FeedbackType": "read", "UserId": "u3", "ItemId": "sku9", "Timestamp": "2026-11-01T10:00:00Z"}
EXAMPLES = {"user": "u3", "item": "sku7", "name": "popular", "category": "Lamps", "feedback_type": "read"}
BODIES: dict[str, Any] = {
    "/user": {"UserId": "x"},
    "/users": [{"UserId": "x"}],
    "/item": {"ItemId": "x"},
    "/items": [{"ItemId": "x"}],
    "/feedback": [FEEDBACK],
    "/session/recommend": [FEEDBACK],
    "/session/recommend/{category}": [FEEDBACK],
    "/user/{user}": {"Comment": "x"},
    "/item/{item}": {"Comment": "x"},
}
PUBLIC = ("/health", "/item/{item}/neighbors", "/item-to-item", "/latest", "/non-personalized", "/session")


def every_request() -> list[tuple[str, str, Any, str]]:
    """Method, path and body of each route, and its path's template without the prefix."""
    requests = []
    for route in all_routes(router.routes):
        template = route.path.removeprefix("/gorse/api")
        values = {**EXAMPLES, "name": "similar"} if "-to-" in template else EXAMPLES
        for method in route.methods:
            body = BODIES.get(template) if method in ("POST", "PUT", "PATCH") else None
            requests.append((method, template.format(**values), body, template))
    return requests


def test_each_route_needs_the_scope_that_it_says(former: FormerShop) -> None:
    requests = every_request()
    assert len(requests) == 44
    for method, path, body, template in requests:
        if template.startswith(PUBLIC):
            assert former.send(method, path, key=None, json=body).status_code == 200, (method, path)
            continue
        if any(
            part in template for part in ("recommend", "collaborative", "/user/{user}/neighbors", "user-to")
        ):
            scope = "recommend"
        else:
            scope = "events" if template == "/feedback" and method in ("POST", "PUT") else "admin"
        for key in ("recommend", "events", "admin", None):
            if key != scope:
                expected = 401 if key is None else 403
                refused = former.send(method, path, key=key, json=body)
                assert refused.status_code == expected, (method, path, key, refused.text)
                assert refused.headers["content-type"] == "application/problem+json"


def test_lists_for_everybody_and_from_items(former: FormerShop) -> None:
    popular = [f"/non-personalized/{name}" for name in ("popular", "trending", "latest")]
    similar = [f"/item-to-item/{name}/sku7" for name in ("neighbors", "bought_together")]
    for path in ["/latest", *popular, *similar]:
        found = former.send("GET", path, params={"n": 4}).json()
        assert len(found) == 4, path
        assert all(each.keys() == {"Id", "Score"} for each in found)
    newest = [each["Id"] for each in former.send("GET", "/latest?n=3").json()]
    assert newest == ["sku1", "sku2", "sku3"]
    lamps = former.send("GET", "/latest/Lamps?n=3").json()
    assert [each["Id"] for each in lamps] == ["sku61", "sku62", "sku63"]
    assert former.send("GET", "/latest/no%20such%20category").json() == []
    assert former.send("GET", "/recommend/u3").json()[0].startswith("sku")
    assert former.send("GET", "/recommend/u3/Lamps?n=2").status_code == 200
    assert former.send("GET", "/collaborative-filtering/u3?n=2").json()[0].keys() == {"Id", "Score"}
    assert former.send("GET", "/recommend/u3?n=100&offset=299").status_code == 200
    assert former.send("GET", "/recommend/u3?n=100&offset=10000").json() == []


def test_feedback_is_overwritten_by_put_and_read_and_removed_by_type(former: FormerShop) -> None:
    def of_pair(path: str = "/feedback/u3/sku9") -> list[Any]:
        found: list[Any] = former.send("GET", path).json()
        return [each for each in found if each["Timestamp"] >= "2026-11"]

    later = {**FEEDBACK, "Timestamp": "2026-11-02T10:00:00Z", "Comment": "twice", "Value": 1.5}
    former.send("POST", "/feedback", json=[FEEDBACK])
    former.send("POST", "/feedback", json=[later])
    assert len(of_pair()) == 2
    assert former.send("PUT", "/feedback", json=[later]).json() == {"RowAffected": 1}
    (left,) = of_pair()
    assert (left["Comment"], left["Value"]) == ("twice", 1.5)
    former.send("POST", "/feedback", json=[{**FEEDBACK, "FeedbackType": "star"}])
    assert len(of_pair("/feedback/star/u3/sku9")) == 1
    assert former.send("DELETE", "/feedback/star/u3/sku9").json() == {"RowAffected": 1}
    assert [each["FeedbackType"] for each in of_pair()] == ["read"]
    for path in (
        "/user/u3/feedback",
        "/user/u3/feedback/read",
        "/item/sku9/feedback",
        "/item/sku9/feedback/read",
    ):
        assert any(each["Comment"] == "twice" for each in former.send("GET", path).json()), path
    assert former.send("GET", "/feedback/read?n=2").json().keys() == {"Cursor", "Feedback"}
    assert former.send("POST", "/feedback", json=[]).json() == {"RowAffected": 0}


def test_a_put_that_cannot_be_stored_removes_nothing(former: FormerShop) -> None:
    former.send("POST", "/feedback", json=[FEEDBACK])
    before = former.send("GET", "/feedback/u3/sku9").json()
    # a moment before any shop; the first piece is well, the second is not
    wrong = {**FEEDBACK, "ItemId": "sku10", "Timestamp": "0001-01-01T00:00:00Z"}
    refused = former.send("PUT", "/feedback", json=[{**FEEDBACK, "Comment": "new"}, wrong])
    assert refused.status_code == 422, refused.text
    assert "Feedback 2 cannot be stored: created_at" in refused.json()["detail"]
    assert former.send("GET", "/feedback/u3/sku9").json() == before
    assert former.send("PUT", "/feedback", json=[{**FEEDBACK, "Comment": "new"}]).status_code == 200
    (left,) = [each for each in former.send("GET", "/feedback/u3/sku9").json() if each["Comment"] == "new"]
    assert left["Timestamp"] == before[-1]["Timestamp"]


def test_types_of_the_shop_are_named_in_the_settings(
    former: FormerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaze = {**FEEDBACK, "FeedbackType": "Gaze"}
    assert former.send("POST", "/feedback", json=[gaze]).status_code == 422
    monkeypatch.setenv("RECSYS_API__GORSE_FEEDBACK_TYPES", '{"gaze": "view", "read": "like"}')
    get_settings.cache_clear()
    assert former.send("POST", "/feedback", json=[gaze, FEEDBACK]).json() == {"RowAffected": 2}
    stored = {each["FeedbackType"] for each in former.send("GET", "/feedback/u3/sku9").json()}
    assert {"Gaze", "read"} <= stored
    liked = former.send("GET", "/feedback/like/u3/sku9").json()
    assert [each["FeedbackType"] for each in liked] == ["read"]


def test_write_back_needs_the_scope_of_events(former: FormerShop) -> None:
    refused = former.send("GET", "/recommend/u3?write-back-type=read", key="recommend")
    assert (refused.status_code, "events" in refused.json()["detail"]) == (403, True)
    assert former.send("GET", "/recommend/u3", key="recommend").status_code == 200


def test_neighbors_are_users_with_the_same_products(former: FormerShop) -> None:
    rows = [
        {"FeedbackType": "star", "UserId": user, "ItemId": item, "Timestamp": "2026-11-01T10:00:00Z"}
        for user, items in {"n1": "abcd", "n2": "abcd", "n3": "ab", "n4": "x", "n5": "ax"}.items()
        for item in items
    ]
    former.send("POST", "/feedback", json=rows)
    found = former.send("GET", "/user/n1/neighbors").json()
    assert [each["Id"] for each in found] == ["n2", "n3", "n5"]
    # cosine of the sets of products: 4 of 4 and 4, 2 of 4 and 2, 1 of 4 and 2
    assert [each["Score"] for each in found] == pytest.approx([1.0, 2 / 8**0.5, 1 / 8**0.5])
    assert former.send("GET", "/user-to-user/neighbors/n1?n=1&offset=1").json() == found[1:2]
    former.send("POST", "/user", json={"UserId": "fresh"})
    assert former.send("GET", "/user-to-user/similar/fresh").json() == []


def test_an_item_is_put_into_categories_and_taken_out(former: FormerShop) -> None:
    def places() -> tuple[list[str], list[str]]:
        stored = former.send("GET", "/item/EL-9").json()
        return stored["Categories"], stored["Labels"]

    former.send("POST", "/item", json={"ItemId": "EL-9", "Labels": ["oak"]})
    for _ in range(2):
        for category in ("Desks", "Office / Home"):
            path = f"/item/EL-9/category/{quote(category, safe='')}"
            assert former.send("PUT", path).json() == {"RowAffected": 1}
        assert places() == (["Desks"], ["Office / Home", "oak"])
    former.send("DELETE", "/item/EL-9/category/Desks")
    assert places() == ([], ["Office / Home", "oak"])
    former.send("DELETE", "/item/EL-9/category/Office%20%2F%20Home")
    assert places() == ([], ["oak"])
    assert former.send("PUT", "/item/gone/category/Desks").status_code == 404


def test_feedback_changes_the_next_list(former: FormerShop) -> None:
    first = former.send("GET", "/recommend/u3?n=1").json()[0]
    dislike = {**FEEDBACK, "FeedbackType": "dislike", "ItemId": first, "Timestamp": ""}
    former.send("POST", "/feedback", json=[dislike])
    assert first not in former.send("GET", "/recommend/u3?n=50").json()
    former.send("DELETE", f"/feedback/dislike/u3/{first}")
    former.send("DELETE", f"/feedback/u3/{first}")
    assert first in former.send("GET", "/recommend/u3?n=50").json()


def test_names_of_any_script_and_ids_that_look_alike_are_different_items(former: FormerShop) -> None:
    rows = [
        {"ItemId": sku, "Comment": "Лампа", "Categories": [category]}
        for sku, category in (
            ("A/1", "Лампы"),
            ("A-1", "ランプ"),
            ("a 1", "Lamps!"),
            ("A1", "Лампы"),
            ("é", "家"),
        )
    ]
    for _ in range(2):
        assert former.send("POST", "/items", json=rows).json() == {"RowAffected": 5}
    for row in rows[1:]:
        stored = former.send("GET", f"/item/{row['ItemId']}").json()
        assert (stored["ItemId"], stored["Categories"], stored["Comment"]) == (
            row["ItemId"],
            row["Categories"],
            "Лампа",
        )
    assert len(former.send("GET", "/latest?n=100").json()) == 100


def test_users_are_changed_and_keep_the_rest(former: FormerShop) -> None:
    former.send("POST", "/user", json={"UserId": "x", "Labels": ["a"], "Comment": "c", "Subscribe": ["news"]})
    assert former.send("PATCH", "/user/x", json={"Comment": "d"}).json() == {"RowAffected": 1}
    assert former.send("GET", "/user/x").json() == {"UserId": "x", "Labels": ["a"], "Comment": "d"}
    taken = former.client.post("/api/v1/auth/login", json={"login": "x", "password": "!"})
    assert taken.status_code == 401


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/user", {}, 422, "UserId"),
    ("POST", "/user", {"UserId": ""}, 422, "UserId"),
    ("POST", "/user", {"UserId": "x" * 101}, 422, "UserId"),
    ("POST", "/user", {"UserId": "a\0b"}, 422, "UserId"),
    ("POST", "/user", {"UserId": "x", "Labels": ["y" * 5000]}, 422, "Labels"),
    ("POST", "/users", {"UserId": "x"}, 422, "list"),
    ("POST", "/users", [{"UserId": "x"}] * 1001, 422, "at most 1000"),
    ("PATCH", "/user/nobody-here", {"Comment": "x"}, 404, "nobody-here"),
    ("DELETE", "/user/nobody-here", None, 404, "nobody-here"),
    ("POST", "/item", {"ItemId": 7}, 422, "ItemId"),
    ("POST", "/item", {"ItemId": "x", "Timestamp": "yesterday"}, 422, "Timestamp"),
    ("POST", "/item", {"ItemId": "x", "Categories": "Lamps"}, 422, "Categories"),
    ("PATCH", "/item/gone", {"Comment": "x"}, 404, "gone"),
    ("DELETE", "/item/gone", None, 404, "gone"),
    ("POST", "/feedback", FEEDBACK, 422, "list"),
    ("POST", "/feedback", [{**FEEDBACK, "FeedbackType": "gaze"}], 422, "FeedbackType"),
    ("POST", "/feedback", [{**FEEDBACK, "Value": 1e9}], 422, "Value"),
    ("POST", "/feedback", [{**FEEDBACK, "UserId": ""}], 422, "UserId"),
    ("GET", "/feedback/gaze", None, 422, "FeedbackType"),
    ("GET", "/feedback?cursor=abc", None, 422, "cursor"),
    ("GET", "/users?n=0", None, 422, "n"),
    ("GET", "/items?n=5000", None, 422, "n"),
    ("DELETE", "/feedback/nobody-here/sku9", None, 404, "nobody-here"),
    ("GET", "/item/gone/neighbors", None, 404, "gone"),
    ("GET", "/item-to-item/magic/sku7", None, 404, "neighbors"),
    ("GET", "/non-personalized/magic", None, 404, "popular"),
    ("GET", "/recommend/u3?n=1000", None, 422, "n"),
    ("GET", "/recommend/u3?write-back-type=gaze", None, 422, "FeedbackType"),
    ("GET", "/recommend/u3?write-back-type=read&write-back-delay=10m", None, 422, "write-back-delay"),
    ("POST", "/session/recommend", [{"UserId": "x"}], 422, "ItemId"),
    ("POST", "/session/recommend", ["sku1"], 422, "dictionary"),
    ("GET", "/user-to-user/magic/u3", None, 404, "neighbors"),
    ("GET", "/user/nobody-here/neighbors", None, 404, "nobody-here"),
]


def test_health_says_what_serves_and_which_stores_answer(
    scored_shop: Shop, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = {"Ready": True, "DataStoreConnected": True, "CacheStoreConnected": True}
    for path in ("live", "ready"):
        answer = client.get(f"/gorse/api/health/{path}")
        assert (answer.status_code, answer.json()) == (200, well)
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    forget_connections()
    with running(create_app()) as degraded:
        answer = degraded.get("/gorse/api/health/ready")
        assert (answer.status_code, answer.json()) == (200, {**well, "CacheStoreConnected": False})


def test_an_empty_shop_is_alive_and_not_ready(shop: Shop) -> None:
    with running(create_app()) as client:
        expected = {"Ready": False, "DataStoreConnected": True, "CacheStoreConnected": True}
        for path, status in (("live", 200), ("ready", 503)):
            answer = client.get(f"/gorse/api/health/{path}")
            assert (answer.status_code, answer.json()) == (status, expected)


def test_wrong_input_is_a_problem_that_names_it(former: FormerShop) -> None:
    for method, path, body, status, expected in WRONG:
        answer = former.send(method, path, json=body)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert expected in answer.text, (method, path)


def test_nothing_is_stored_of_a_batch_with_a_wrong_part(former: FormerShop) -> None:
    wrong = {**FEEDBACK, "UserId": "new-one", "FeedbackType": "gaze"}
    assert (
        former.send("POST", "/feedback", json=[{**FEEDBACK, "UserId": "new-two"}, wrong]).status_code == 422
    )
    for name in ("new-one", "new-two"):
        assert former.send("GET", f"/user/{name}").status_code == 404


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, []),
        (["a", "b", "a", " "], ["a", "b"]),
        ({"x": ["a", "b"], "y": "c", "z": 3, "v": [0.1]}, ["a", "b", "c"]),
        ("a", ["a"]),
        ({"x": {"y": ["d"]}}, ["d"]),
        (["y" * 200], ["y" * 100]),
    ],
)
def test_labels_become_texts(labels: Any, expected: list[str]) -> None:
    assert plain_labels(labels) == expected
