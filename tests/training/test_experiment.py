"""Experiment files: what is right is read, what is wrong is named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import factory
from models.hybrid.parameters import MEMBERS
from recsys.errors import Invalid, NotFound
from training.experiment import everyday, load, load_all, shipped
from training.fit.trainer import create

GOOD = 'name = "mine"\nalgorithm = "als"\nseed = 5\n[parameters]\nfactors = 8\n'


def _file(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_and_its_defaults(tmp_path: Path) -> None:
    experiment = load(_file(tmp_path, GOOD))
    assert experiment.recipe == {"algorithm": "als", "seed": 5, "parameters": {"factors": 8}}
    assert experiment.split.test_days is None  # as the data allow
    assert experiment.evaluation.primary_k in experiment.evaluation.ks
    assert (experiment.promotion.metric, experiment.promotion.view) == ("ndcg", "all")
    model = create(experiment)
    assert (model.parameters.factors, model.parameters.seed) == (8, 5)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name",
    [
        "popularity",
        "item_knn",
        "als",
        "content",
        "tifu_knn",
        "ease",
        "hybrid",
        "bought_together",
        "similar_items",
        "complements",
        "buy_again",
    ],
)
def test_shipped_experiments_name_themselves_and_fit_their_algorithm(name: str) -> None:
    experiment = load(name)
    assert experiment.name == name
    assert experiment.algorithm in factory.algorithms()
    create(experiment)
    assert experiment.description


def test_long_experiments_ship_but_are_not_part_of_all() -> None:
    assert set(shipped()) - set(everyday()) == {
        "bought_together",
        "buy_again",
        "item_knn",
    }


def test_the_hybrids_members_are_the_experiments_of_the_same_names() -> None:
    """Equal recipes are fitted once in a run of all experiments."""
    for name, member in MEMBERS.items():
        if name not in shipped():
            continue
        experiment = load(name)
        assert member["algorithm"] == experiment.algorithm
        alone = create(experiment).parameters
        seeded = {"seed": experiment.seed} if hasattr(alone, "seed") else {}
        hybrid = load("hybrid")
        assert factory.create(name, {**member.get("parameters", {}), **seeded}).parameters == alone
        assert not seeded or hybrid.seed == experiment.seed


def test_shipped_experiments_can_be_compared() -> None:
    assert [experiment.name for experiment in load_all(list(shipped()))] == sorted(shipped())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[split]\ntest_day = 3\n", "unknown key 'split.test_day'; did you mean 'test_days'?"),
        ('nam = "x"\n' + GOOD, "unknown key 'nam'; did you mean 'name'?"),
        ("zzz = 1\n" + GOOD, "unknown key 'zzz'; known: algorithm, description"),
        ('algorithm = "als"\n', "the key 'name' is missing"),
        (GOOD.replace("mine", "My Model"), "name: "),
        (GOOD + "[split]\ntest_days = -1\n", "split.test_days: input should be greater than 0 (given: -1)"),
        (GOOD + '[split]\npositive = ["buys"]\n', "'buys' is not an interaction type; known: view, like"),
        (GOOD + "[evaluation]\nks = [5, 3]\n", "ks must rise"),
        (GOOD + "[evaluation]\nks = [5]\n", "primary_k 20 must be one of ks [5]"),
        (GOOD + '[promotion]\nmetric = "auc"\n', "promotion.metric: input should be 'ndcg'"),
        (GOOD + "seed = 5\n", "seed belongs at the top"),
        ("name = \n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(Invalid) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_unknown_names_and_sources() -> None:
    with pytest.raises(NotFound, match="did you mean 'popularity'"):
        load("popularty")
    with pytest.raises(NotFound, match="there is no such file"):
        load("nowhere/at/all.toml")
    with pytest.raises(Invalid, match="--all"):
        load_all([])


def test_a_run_compares_like_with_like(tmp_path: Path) -> None:
    one = _file(tmp_path, GOOD)
    other = _file(tmp_path, GOOD.replace("mine", "other") + "[split]\ntest_days = 7\n", "other.toml")
    with pytest.raises(Invalid, match=r"\[split\] differs"):
        load_all([one, other])
    with pytest.raises(Invalid, match="given twice"):
        load_all([one, one])
    assert [experiment.seed for experiment in load_all([one], seed=9)] == [9]
