"""Next-item sequences: the last event alone is held out, and shuffling stays inside its runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys.errors import Invalid
from training.paper_benchmarks import beauty
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everybody walks round a circle of 12 items; the next item follows from the last."""
    lines = [" ".join(map(str, [user, *((user + np.arange(5)) % 12)])) for user in range(60)]
    (tmp_path / "sequences.txt").write_text("\n".join([*lines, "60 3"]))
    return tmp_path


def test_the_last_event_is_held_out(folder: Path) -> None:
    dataset, relevant = beauty.next_item(beauty.read(folder))
    assert relevant[3].indices.tolist() == [7]
    assert sorted(dataset.matrix[3].indices) == [3, 4, 5, 6]
    assert relevant[60].nnz == 0  # one event: nothing to ask
    assert dataset.matrix[60].nnz == 0
    mine = dataset.events.take(dataset.events.user == 3)
    assert mine.item.tolist() == [3, 4, 5, 6]


def test_a_walk_is_followed_and_its_shuffle_is_harder(folder: Path) -> None:
    sequences = beauty.read(folder)
    models = {"co": ModelSettings("co", "co_visitation", {"window": 1, "reverse": 0.0})}
    settings = BenchmarkSettings(models, {}, {}, [], {})
    straight = beauty.run(sequences, settings, ["co"], progress=lambda _: None)[0]
    assert straight.figures["ndcg@10"] > 0.95
    mixed = beauty.shuffled(sequences, 2, seed=1)
    shuffled = beauty.run(mixed, settings, ["co"], variant="shuffled", progress=lambda _: None)[0]
    assert shuffled.model == "co (shuffled)"
    assert shuffled.figures["ndcg@10"] < straight.figures["ndcg@10"]


def test_shuffling_stays_inside_runs_counted_from_the_end(folder: Path) -> None:
    sequences = beauty.read(folder)
    mixed = beauty.shuffled(sequences, 2, seed=1)
    moved = 0
    for user in range(60):
        before, after = sequences.item[sequences.user == user], mixed.item[mixed.user == user]
        assert before[0] == after[0]  # five events: the first is a run of its own
        assert set(before[1:3]) == set(after[1:3])
        assert set(before[3:]) == set(after[3:])
        moved += int((before != after).any())
    assert 20 < moved < 60


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sequences.txt").write_text("")
    with pytest.raises(Invalid, match="no event"):
        beauty.read(tmp_path)


def test_attributes_are_the_text_of_items(folder: Path) -> None:
    (folder / "item_attributes.json").write_text('{"2": [7, 5], "900": [1]}')
    dataset, _ = beauty.next_item(beauty.read(folder))
    assert dataset.item_features.text[:4] == ["", "", "7 5", ""]


def test_the_blend_is_learned_without_the_last_event(folder: Path) -> None:
    sequences = beauty.read(folder)
    models = {
        "co": ModelSettings("co", "co_visitation", {"window": 4, "reverse": 0.0}),
        "popular": ModelSettings("popular", "popularity", {}),
    }
    settings = BenchmarkSettings(models, {}, {}, [], {})
    blend, learned = beauty.learn_blend(sequences, settings, ["co", "popular"], progress=lambda _: None)
    changed = beauty.Sequences(
        sequences.user,
        np.where(sequences.place == 4, 0, sequences.item),
        sequences.place,
        sequences.users,
        sequences.items,
        sequences.attributes,
    )
    again, _ = beauty.learn_blend(changed, settings, ["co", "popular"], progress=lambda _: None)
    assert again.weights == blend.weights
    assert learned[-1].figures["ndcg@10"] >= max(each.figures["ndcg@10"] for each in learned[:-1])
    weighed = BenchmarkSettings(models, {}, dict(blend.weights), [], {})
    *single, hybrid = beauty.run(sequences, weighed, ["co"], blend=True, progress=lambda _: None)
    assert [each.model for each in single] == ["co", "popular"]
    assert hybrid.model == "hybrid"
    assert hybrid.figures["ndcg@10"] > 0.95
