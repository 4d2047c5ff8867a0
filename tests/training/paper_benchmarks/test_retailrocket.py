"""The last buy held out with all that came at or after it, and weights that tell carts from views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys.errors import Invalid
from training.paper_benchmarks import retailrocket
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings

HEADER = "user,item,event,ts"
MODEL = ModelSettings("co", "co_visitation", {"repeats": True})


def write(folder: Path, rows: list[str]) -> Path:
    (folder / "events.csv").write_text("\n".join([HEADER, *rows]))
    return folder


def test_nothing_at_or_after_the_last_buy_is_learned_from(tmp_path: Path) -> None:
    rows = [
        "0,1,buy,10",
        "0,2,view,20",
        "0,3,buy,30",
        "0,4,view,30",
        "0,5,view,40",
        "1,6,view,90",
        "1,6,buy,95",
    ]
    log = retailrocket.read(write(tmp_path, rows))
    train, relevant = retailrocket.hold_out_last_buy(log)
    assert train.item[train.user == 0].tolist() == [1, 2]
    assert train.item[train.user == 1].tolist() == [6, 6]  # one buy only: nothing to ask, all to learn from
    assert list(zip(*relevant.nonzero(), strict=True)) == [(0, 3)]
    _, every = retailrocket.hold_out_last_buy(log, least=1)
    assert list(zip(*every.nonzero(), strict=True)) == [(0, 3), (1, 6)]


def test_a_line_that_reads_otherwise_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="line 3"):
        retailrocket.read(write(tmp_path, ["0,1,buy,10", "0,1,stole,11"]))


def test_fitting_and_comparing(tmp_path: Path) -> None:
    # people view two things, put one of them into the cart, and buy that one: carts tell, views do not
    rng = np.random.default_rng(0)
    rows, clock = [], 0
    for user in range(50):
        for _ in range(3):
            wanted, other = rng.permutation(20)[:2]
            for item, event in ((wanted, "view"), (wanted, "cart"), (other, "view"), (wanted, "buy")):
                clock += 60
                rows.append(f"{user},{item},{event},{clock}")
    log = retailrocket.read(write(tmp_path, rows))
    weights = retailrocket.fit_weights(log, MODEL, rounds=1, progress=lambda _: None)
    assert weights["cart"] > weights["view"]
    settings = BenchmarkSettings({"co": MODEL}, {"seed": 1}, {}, [], weights)
    results = retailrocket.run(log, settings, MODEL, progress=lambda _: None)
    found = retailrocket.compared(results, seed=1)
    assert found["co, buys alone"].difference > 0
    assert found["co, buys alone"].p_value < 0.05


def test_what_is_to_be_discovered_is_hidden_and_nothing_seen_is_listed(tmp_path: Path) -> None:
    # everybody views 0 then 1, so 1 follows from 0; the own view and cart of the bought product are hidden
    rows, clock = [], 0
    for user in range(10):
        for item, event in ((0, "view"), (1, "view"), (1, "cart"), (1, "buy")):
            clock += 60
            rows.append(f"{user},{item},{event},{clock}")
    rows += ["10,0,view,9000", "10,1,view,9060", "11,1,buy,9100"]
    log = retailrocket.read(write(tmp_path, rows))
    settings = BenchmarkSettings({"co": MODEL}, {"seed": 1}, {}, [], {})
    for validate in (True, False):
        (found,) = retailrocket.discoveries(log, settings, validate=validate, progress=lambda _: None)
        # user 11 has nothing left to go by, user 10 bought nothing: neither is asked about
        assert found.per_user["ndcg@20"].tolist() == [1.0] * 5
