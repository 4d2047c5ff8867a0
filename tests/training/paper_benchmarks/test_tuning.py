"""The search moves only where the fold tells points apart, and sees nothing of the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.errors import Invalid
from training.paper_benchmarks import chosen_settings, gowalla
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings, SearchSpace
from training.paper_benchmarks.runner import Result
from training.paper_benchmarks.tuning import search


def judge(parameters: Mapping[str, Any]) -> Result:
    """Best at a = 3 and b = 2; b matters only once a is near."""
    a, b = parameters["a"], parameters["b"]
    value = 1.0 - 0.1 * abs(a - 3) - 0.05 * abs(b - 2) * (a > 2.5)
    return Result("m", {"ndcg@20": value}, 1.0, 1.0, per_user={"ndcg@20": np.full(10, value)})


def test_of_values_without_a_significant_difference_the_first_is_kept() -> None:
    space = SearchSpace({"a": 1, "b": 2}, [{"a": [2, 2.95, 3, 5]}])
    found = search("m", space, judge, "ndcg@20")
    assert found.chosen == {"a": 2.95, "b": 2}  # 0.995 against 1
    assert search("m", SearchSpace(found.chosen, space.steps), judge, "ndcg@20").chosen == found.chosen
    far = SearchSpace({"a": 2.5, "b": 2}, [{"a": [3]}])
    assert search("m", far, judge, "ndcg@20").chosen["a"] == 3


def test_steps_follow_one_another() -> None:
    steps: list[dict[str, list[Any]]] = [{"a": [3]}, {"b": [2, 1]}]
    assert search("m", SearchSpace({"a": 1, "b": 0}, steps), judge, "ndcg@20").chosen == {"a": 3, "b": 2}
    assert search("m", SearchSpace({"a": 1, "b": 0}, steps[::-1]), judge, "ndcg@20").chosen["b"] == 0


def test_a_step_of_two_parameters_tries_every_combination() -> None:
    space = SearchSpace({"a": 1, "b": 0}, [{"a": [1, 3], "b": [0, 2]}])
    found = search("m", space, judge, "ndcg@20")
    assert found.chosen == {"a": 3, "b": 2}
    notes = [point.note for point in found.points]
    assert notes[0] == "start: a 1, b 0"
    assert [note.split(":")[0] for note in notes[1:4]] == ["a 1, b 2", "a 3, b 0", "a 3, b 2"]
    assert notes[-1] == "chosen: a 3, b 2"
    assert "+25.0% ± 0.0" in notes[3]


def test_the_benchmark_searches_without_the_test(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train = [" ".join(map(str, [user, *(rng.permutation(15)[:8] + 15 * (user % 2))])) for user in range(40)]
    (tmp_path / "train.txt").write_text("\n".join(train))
    (tmp_path / "test.txt").write_text("0 29\n")
    split = gowalla.read(tmp_path)
    settings = BenchmarkSettings(
        models={name: ModelSettings(name, name, {}) for name in ("als", "popularity")},
        validation={"share": 0.3, "seed": 1, "search_on": 30},
        blend={},
        peers=[],
        weights={},
        search={"als": SearchSpace({"factors": 1, "iterations": 5}, [{"factors": [4]}])},
    )
    messages: list[str] = []
    found = gowalla.choose(split, settings, ["als", "popularity"], progress=messages.append)
    assert list(found) == ["als"]  # popularity has nothing to search
    assert len(messages) == 2
    blind = replace(split, relevant=split.relevant * 0)
    again = gowalla.choose(blind, settings, ["als"], progress=messages.append)
    assert [point.figures for point in again["als"].points] == [p.figures for p in found["als"].points]
    assert {point.model for point in found["als"].points} == {"als"}
    assert found["als"].points[0].per_user == {}  # figures of each user are not kept for every point


def test_settings_name_only_models_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings").mkdir()
    document = '[models.als]\nalgorithm = "als"\n[search.bpr]\nstart = { a = 1 }\nsteps = []\n'
    (tmp_path / "settings" / "mine.toml").write_text(document)
    monkeypatch.setattr(chosen_settings, "files", lambda _: tmp_path)
    with pytest.raises(Invalid, match="bpr"):
        chosen_settings.read_settings("mine")


def test_what_the_search_starts_from_is_valid() -> None:
    settings = chosen_settings.read_settings("gowalla")
    assert settings.search
    for name, space in settings.search.items():
        replace(settings.models[name], parameters=space.start).create()
        assert set().union(*space.steps) <= space.start.keys()
