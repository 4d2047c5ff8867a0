"""The contract of Gorse's API by its official client (pygorse 0.5), each of its methods."""

from __future__ import annotations

import inspect

import pytest
from gorse import Gorse, GorseException

from recsys.database.session import unit_of_work
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.settings import get_settings
from tests.serving.gorse.conftest import FormerShop

CALLED: set[str] = set()


class Recorded(Gorse):
    """The client, which notes its methods that are called."""

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_"):
            CALLED.add(name)
        return super().__getattribute__(name)


@pytest.fixture
def gorse(former: FormerShop) -> Gorse:
    plain = former.gorse
    return Recorded(plain.entry_point, plain.api_key, plain.timeout)


def feedback(kind: str, user: str, item: str, moment: str = "2026-11-01T10:00:00Z", value: float = 0) -> dict:
    return {"FeedbackType": kind, "UserId": user, "ItemId": item, "Timestamp": moment, "Value": value}


def test_users(gorse: Gorse) -> None:
    user = {"UserId": "cust/1000 é", "Labels": ["M", "student"], "Comment": "zuhao"}
    with pytest.raises(GorseException) as missing:
        gorse.get_user("nobody-here")
    assert missing.value.status_code == 404
    assert gorse.insert_user(user) == {"RowAffected": 1}
    assert gorse.insert_user({**user, "Comment": "again"}) == {"RowAffected": 1}
    assert gorse.insert_users([{"UserId": "a", "Labels": {"age": 3}}, {"UserId": "b"}]) == {"RowAffected": 2}
    assert gorse.get_user("a") == {"UserId": "a", "Labels": {"age": 3}, "Comment": ""}
    names, cursor = [], ""
    for _ in range(20):
        page, cursor = gorse.get_users(10, cursor)
        assert len(page) <= 10
        names += [each["UserId"] for each in page]
        if not cursor:
            break
    assert len(names) == len(set(names)) == 33
    assert {"cust/1000 é", "a", "b", "u1"} <= set(names)
    assert gorse.get_user("cust%2F1000%20é")["Labels"] == ["M", "student"]
    assert gorse.delete_user("a") == {"RowAffected": 1}
    with pytest.raises(GorseException):
        gorse.get_user("a")


def test_items(gorse: Gorse) -> None:
    item = {
        "ItemId": "EL-0118",
        "IsHidden": False,
        "Labels": {"topics": ["lamp", "desk"], "embedding": [0.1, 0.2]},
        "Categories": ["Lamps", "Office"],
        "Timestamp": "2026-11-20",
        "Comment": "Desk lamp",
    }
    assert gorse.insert_item(item) == {"RowAffected": 1}
    stored = gorse.get_item("EL-0118")
    assert stored.pop("Timestamp").startswith("2026-11-20T00:00:00")
    assert stored == {
        "ItemId": "EL-0118",
        "IsHidden": False,
        "Labels": ["Office", "lamp", "desk"],
        "Categories": ["Lamps"],
        "Comment": "Desk lamp",
    }
    assert gorse.update_item("EL-0118", is_hidden=True, comment="Old lamp") == {"RowAffected": 1}
    changed = gorse.get_item("EL-0118")
    assert (changed["IsHidden"], changed["Comment"], changed["Categories"]) == (True, "Old lamp", ["Lamps"])
    assert gorse.update_item("EL-0118", categories=["Brand new"], labels=["x"]) == {"RowAffected": 1}
    changed = gorse.get_item("EL-0118")
    assert (changed["Categories"], changed["Labels"]) == (["Brand new"], ["x"])
    assert gorse.insert_item({"ItemId": "EL-0118"}) == {"RowAffected": 1}
    replaced = gorse.get_item("EL-0118")
    assert (replaced["IsHidden"], replaced["Labels"], replaced["Categories"]) == (False, [], [])
    items, cursor = gorse.get_items(100)
    more, end = gorse.get_items(100, cursor)
    assert len({each["ItemId"] for each in items + more}) == 121
    assert end == ""
    assert gorse.delete_item("EL-0118") == {"RowAffected": 1}
    with pytest.raises(GorseException):
        gorse.get_item("EL-0118")


def test_feedback(gorse: Gorse) -> None:
    assert gorse.insert_feedback("read", "u30", "sku3", "2026-11-01T10:00:00Z", 2) == {"RowAffected": 1}
    batch = [feedback("star", "new-user", "new-item"), feedback("purchase", "u30", "sku3"),
             feedback("purchase", "u30", "sku3", "2026-11-02")]  # fmt: skip
    assert gorse.insert_feedbacks(batch) == {"RowAffected": 3}
    assert gorse.insert_feedbacks(batch) == {"RowAffected": 3}
    assert gorse.get_user("new-user")["UserId"] == "new-user"
    assert gorse.get_item("new-item")["ItemId"] == "new-item"
    bought = [each for each in gorse.list_feedbacks("purchase", "u30") if each["ItemId"] == "sku3"]
    assert [each["Timestamp"][:10] for each in bought] == ["2026-11-01", "2026-11-02"]
    (read,) = [each for each in gorse.list_feedbacks("read", "u30") if each["FeedbackType"] == "read"]
    assert (read["UserId"], read["ItemId"], read["Value"], read["Comment"]) == ("u30", "sku3", 2.0, "")
    everything, cursor = [], ""
    for _ in range(100):
        page, cursor = gorse.get_feedbacks(100, cursor)
        everything += page
        if not cursor:
            break
    assert sum(each["ItemId"] == "new-item" for each in everything) == 1
    assert gorse.delete_feedback("u30", "sku3")["RowAffected"] == 3
    assert [each for each in gorse.list_feedbacks("purchase", "u30") if each["ItemId"] == "sku3"] == []
    assert gorse.insert_feedbacks(batch[1:2]) == {"RowAffected": 1}
    assert len([each for each in gorse.list_feedbacks("purchase", "u30") if each["ItemId"] == "sku3"]) == 1


def test_lists(gorse: Gorse, former: FormerShop) -> None:
    ours = former.client.get("/api/v1/users/3/recommendations?limit=10", headers={"X-Api-Key": gorse.api_key})
    expected = [(f"sku{item['product_id']}", item["score"]) for item in ours.json()["items"]]
    found = gorse.get_recommend("u3", n=10)
    assert [(each.id, pytest.approx(each.score, abs=1e-4)) for each in found] == expected
    assert [each.id for each in gorse.get_recommend("u3", n=3, offset=2)] == [sku for sku, _ in expected[2:5]]
    assert {each.id for each in gorse.get_recommend("u3", "Lamps", n=5)} <= {f"sku{n}" for n in range(61, 91)}
    assert len(gorse.get_recommend("no such user", n=4)) == 4
    neighbors = gorse.get_neighbors("sku7", n=5)
    assert len(neighbors) == 5
    assert "sku7" not in {each["Id"] for each in neighbors}
    visit = gorse.session_recommend(
        [feedback("read", "guest", "sku7"), feedback("read", "guest", "gone")], n=5
    )
    assert len(visit) == 5
    assert visit[0].keys() == {"Id", "Score"}


def test_items_are_searched_by_their_names(gorse: Gorse) -> None:
    gorse.insert_item({"ItemId": "EL-7", "Comment": "Walnut bedside lamp"})
    gorse.insert_item({"ItemId": "EL-8"})
    # as the consumers do
    with unit_of_work() as session:
        PostgresIndex(get_settings().search).reindex(session)
    (best, *_) = gorse.search_items("walnut lamp", n=3)
    assert (best["ItemId"], best["Comment"]) == ("EL-7", "Walnut bedside lamp")
    assert best.keys() == {"ItemId", "IsHidden", "Categories", "Timestamp", "Labels", "Comment"}
    assert gorse.search_items("***") == []


def test_a_displayed_list_is_written_back(gorse: Gorse) -> None:
    found = [each.id for each in gorse.get_recommend("u3", n=4, write_back_type="read")]
    written = [each for each in gorse.list_feedbacks("read", "u3") if each["FeedbackType"] == "read"]
    assert sorted(each["ItemId"] for each in written) == sorted(found)
    gorse.get_recommend("u3", n=4, write_back_type="read", write_back_delay="0s")
    with pytest.raises(GorseException) as refused:
        gorse.get_recommend("u3", n=4, write_back_type="read", write_back_delay="10m")
    assert refused.value.status_code == 422


def test_every_method_of_the_client_is_called() -> None:
    methods = {
        name for name, member in inspect.getmembers(Gorse, inspect.isfunction) if not name.startswith("_")
    }
    if not CALLED:
        pytest.skip("only with the other tests of this module")
    assert methods - CALLED == set()
