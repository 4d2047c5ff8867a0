"""The measure itself: what is held out is in no file, and known lists have known figures."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from tests.performance.black_box.__main__ import ndcg
from tests.performance.black_box.peers import PEERS, Log, peer_lists
from tests.performance.black_box.shop import part_of
from tests.performance.black_box.shops import SHOPS

EVENTS = """user,item,event,ts
a,1,view,10
a,1,buy,11
a,2,view,12
a,3,view,13
a,3,buy,14
a,1,buy,15
b,1,view,10
b,2,view,12
b,3,view,13
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "retailrocket").mkdir()
    (tmp_path / "retailrocket" / "events.csv").write_text(EVENTS)
    return tmp_path


def test_what_is_held_out_is_in_no_file(data: Path) -> None:
    pairs = {}
    for name in ("event-log", "event-log-hidden"):
        shop = SHOPS[name](data)
        (question,) = shop.questions
        assert question.truth.rows() == [("a", "3")]
        pairs[name] = shop.interactions.select("user", "product", "interaction_type").rows()
        assert ("a", "3", "purchase") not in pairs[name]
    # its view before the purchase is left where it is not hidden, and nothing from afterwards
    assert set(pairs["event-log"]) - set(pairs["event-log-hidden"]) == {("a", "3", "view")}
    assert pairs["event-log"].count(("a", "1", "purchase")) == 1
    assert sum(user == "b" for user, _, _ in pairs["event-log"]) == 3


def test_known_lists_have_known_figures() -> None:
    truth = pl.DataFrame({"user": ["a", "a", "b", "c"], "product": ["1", "2", "1", "1"]})
    lists = {"a": ["9", "1", "2"], "b": ["1"]}
    ideal = 1 + 1 / math.log2(3)
    assert ndcg(lists, truth) == pytest.approx([(1 / math.log2(3) + 0.5) / ideal, 1, 0])


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_leave_out_what_a_user_knows(name: str, data: Path) -> None:
    shop = SHOPS["event-log-hidden"](data)
    lists = peer_lists(Log(shop.interactions, shop.target), name, "new", 1)
    assert lists["a"] == ["3"]


def test_a_part_is_a_small_shop_of_the_same_kind(data: Path) -> None:
    whole = SHOPS["event-log"](data)
    part = part_of(whole, users=1, products=1, seed=0)
    (product,), (user,) = part.products["product"], part.interactions["user"].unique()
    expected = whole.interactions.filter((pl.col("user") == user) & (pl.col("product") == product))
    assert part.interactions.sort(expected.columns).equals(expected.sort(expected.columns))
    assert part.questions[0].truth.rows() == [pair for pair in [("a", "3")] if pair == (user, product)]
    assert part_of(whole, users=1, products=1, seed=0).interactions.equals(part.interactions)
    everything = part_of(whole, users=9, products=9, seed=1)
    assert everything.interactions.sort(expected.columns).equals(whole.interactions.sort(expected.columns))
    assert everything.questions[0].truth.equals(whole.questions[0].truth)
