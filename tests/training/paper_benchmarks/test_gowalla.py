"""Reading the published split, cutting the validation fold, and blending, on a shop with two tastes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import Invalid, NotFound
from training.paper_benchmarks import gowalla
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings, read_settings

SETTINGS = BenchmarkSettings(
    models={
        "popularity": ModelSettings("popularity", "popularity", {}),
        "als": ModelSettings("als", "als", {"factors": 8}),
    },
    validation={"share": 0.2, "seed": 3},
    blend={"als": 0.9, "popularity": 0.1},
    peers=[],
    weights={},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 users of two tastes over 30 items; one of each taste's items is held out for each user."""
    rng = np.random.default_rng(0)
    train, test = [], []
    for user in range(40):
        mine = rng.permutation(15)[:9] + 15 * (user % 2)
        train.append(" ".join(map(str, [user, *mine[:-2]])))
        test.append(" ".join(map(str, [user, *mine[-2:]])))
    (tmp_path / "train.txt").write_text("\n".join(train))
    with gzip.open(tmp_path / "test.txt.gz", "wt") as file:
        file.write("\n".join([*test, "40"]))  # a user without any item is no error
    return tmp_path


def test_plain_and_packed_files_are_read(folder: Path) -> None:
    split = gowalla.read(folder)
    assert split.train.matrix.nnz == 40 * 7
    assert split.relevant.nnz == 40 * 2
    assert split.train.matrix.multiply(split.relevant).nnz == 0


def test_what_is_missing_or_wrong_is_named(folder: Path) -> None:
    (folder / "train.txt").write_text("0 1 2\n1 x 3\n")
    with pytest.raises(Invalid, match="line 2"):
        gowalla.read(folder)
    (folder / "train.txt").unlink()
    with pytest.raises(NotFound, match=r"train\.txt"):
        gowalla.read(folder)


def test_the_validation_fold_is_a_part_of_train_only(folder: Path) -> None:
    split = gowalla.read(folder)
    fold = gowalla.validation_fold(split.train, 0.3, seed=1)
    joined = fold.train.matrix + fold.relevant
    assert (joined != split.train.matrix).nnz == 0
    assert set(np.diff(fold.relevant.indptr)) == {2}  # 30% of 7, rounded down
    again, other = (gowalla.validation_fold(split.train, 0.3, seed=seed) for seed in (1, 2))
    assert (again.relevant != fold.relevant).nnz == 0
    assert (other.relevant != fold.relevant).nnz > 0


def test_a_block_is_a_run_of_neighbouring_numbers(folder: Path) -> None:
    split = gowalla.read(folder)
    fold = gowalla.validation_fold(split.train, 0.5, seed=1, blocks=True)
    assert ((fold.train.matrix + fold.relevant) != split.train.matrix).nnz == 0
    starts = set()
    for user in range(40):
        held = np.isin(split.train.matrix[user].indices, fold.relevant[user].indices)
        assert held.sum() == 3
        # round the end of the line there is one change into the block and one out of it
        assert np.count_nonzero(held != np.roll(held, 1)) == 2
        starts.add(int(np.flatnonzero(held & ~np.roll(held, 1))[0]))
    assert len(starts) > 3


def test_figures_of_every_model_and_of_the_blend(folder: Path) -> None:
    split = gowalla.read(folder)
    results = gowalla.run(split, SETTINGS, ["popularity"], blend=True, progress=lambda _: None)
    assert [result.model for result in results] == ["popularity", "als", "hybrid"]
    figures = {result.model: result.figures["recall@20"] for result in results}
    assert figures["als"] > figures["popularity"]  # only one of the two knows the tastes
    for result in results:
        plain = result.as_json()
        assert {"model", "ndcg@20", "recall@20", "fit_seconds", "peak_rss_mib"} <= plain.keys()
        assert plain["peak_rss_mib"] > 1


def test_the_blend_is_learned_without_the_test(folder: Path) -> None:
    split = gowalla.read(folder)
    blind = gowalla.GowallaSplit(split.train, split.relevant * 0)
    names = ["als", "popularity"]
    learned, _ = gowalla.learn_blend(blind, SETTINGS, names, progress=lambda _: None)
    other, _ = gowalla.learn_blend(split, SETTINGS, names, progress=lambda _: None)
    assert learned.weights == other.weights


@pytest.mark.parametrize("name", ["gowalla", "beauty", "retailrocket"])
def test_settings_in_the_package_are_whole(name: str) -> None:
    settings = read_settings(name)
    assert settings.models
    assert "seed" in settings.validation
