"""A damaged or foreign artifact is refused with a line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.arrays import write_arrays
from models import factory
from models.algorithms.factorization.als import ALS, ALSParameters
from models.algorithms.neighbourhood.item_knn import ItemKNN
from models.algorithms.popularity.popularity import Popularity
from models.ranking.calibration import Calibration
from models.registry.artifact import HEADER, read_artifact, write_artifact
from recsys.errors import Invalid, NotFound
from tests.models.data import two_tastes

DATA = two_tastes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ALS(ALSParameters(factors=4, iterations=2)).fit(DATA).save(tmp_path / "als-v1")
    return tmp_path / "als-v1"


def rewrite(folder: Path, header: dict[str, Any], *, without: str = "") -> None:
    """The same artifact with parts of its header changed, and a checksum that fits."""
    before, arrays = read_artifact(folder)
    kept = {name: np.array(array) for name, array in arrays.items() if name != without}
    del before["checksum"]
    write_arrays(folder, before | header, kept, header_name=HEADER)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((folder / HEADER).read_text())
    change(document)
    (folder / HEADER).write_text(json.dumps(document))


def flip_a_byte(folder: Path) -> None:
    file = folder / "fitted_item_factors.npy"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def truncate(folder: Path) -> None:
    file = folder / "fitted_item_factors.npy"
    file.write_bytes(file.read_bytes()[:-40])


def empty(folder: Path) -> None:
    (folder / "users.npy").write_bytes(b"")


def lose_an_array(folder: Path) -> None:
    (folder / "fitted_item_factors.npy").unlink()


def change_a_parameter(folder: Path) -> None:
    edit(folder, lambda document: document["header"]["parameters"].update(alpha=9.0))


def unlist_an_array(folder: Path) -> None:
    edit(folder, lambda document: document["arrays"].pop("fitted_gram"))


def store_objects(folder: Path) -> None:
    np.save(folder / "users.npy", np.array([{"any": "thing"}], dtype=object), allow_pickle=True)


def break_the_header(folder: Path) -> None:
    (folder / HEADER).write_text("{ not json")


def replace_the_header(folder: Path) -> None:
    (folder / HEADER).write_text("[1, 2]")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, r"fitted_item_factors\.npy does not match its checksum"),
        (truncate, r"fitted_item_factors\.npy is missing or damaged"),
        (empty, r"users\.npy is missing or damaged"),
        (lose_an_array, r"fitted_item_factors\.npy is missing or damaged"),
        (change_a_parameter, "the header was changed"),
        (unlist_an_array, "the header was changed"),
        (store_objects, r"users\.npy is missing or damaged"),
        (break_the_header, "model.json is damaged"),
        (replace_the_header, "model.json is damaged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_refused(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(Invalid, match=message):
        factory.load(folder)
    with pytest.raises(Invalid, match=message):
        ALS.load(folder)


def test_an_array_that_was_never_written_is_missed(folder: Path) -> None:
    rewrite(folder, {}, without="fitted_gram")
    with pytest.raises(Invalid, match=r"needs .*gram"):
        ALS.load(folder)


def test_another_format_another_algorithm_and_another_parameter_are_refused(folder: Path) -> None:
    with pytest.raises(Invalid, match="algorithm 'als', not 'popularity'"):
        Popularity.load(folder)
    rewrite(folder, {"parameters": {"factors": 4, "warp": 9}})
    with pytest.raises(Invalid, match="does not know: warp"):
        ALS.load(folder)
    rewrite(folder, {"algorithm": "magic"})
    with pytest.raises(Invalid, match="no algorithm is named 'magic'"):
        factory.load(folder)
    rewrite(folder, {"format": 99})
    with pytest.raises(Invalid, match="format 99"):
        factory.load(folder)


def test_a_folder_without_a_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"model\.json"):
        factory.load(tmp_path)


def test_the_old_model_goes_on_serving_when_its_folder_is_damaged_or_replaced(folder: Path) -> None:
    model = factory.load(folder)
    before = model.recommend(DATA.users.ids, 5)
    ItemKNN().fit(DATA).save(folder)
    np.testing.assert_array_equal(model.recommend(DATA.users.ids, 5).products, before.products)
    assert factory.load(folder).algorithm == "item_knn"
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name], "nothing is left beside it"


def test_arrays_stay_on_disk(folder: Path) -> None:
    model = ALS.load(folder)
    assert isinstance(model.item_factors_.base, np.memmap)
    assert not model.history_.data.flags.owndata
    assert not model.history_.data.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        model.item_factors_[0, 0] = 1.0


def test_objects_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        write_artifact(tmp_path / "m", {"algorithm": "x"}, {"bad": np.array([None, {}], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_in_the_header_that_is_read(tmp_path: Path) -> None:
    checksum = write_artifact(tmp_path / "m", {"algorithm": "x"}, {"a": np.arange(3)})
    header, arrays = read_artifact(tmp_path / "m")
    assert header == {"format": 1, "algorithm": "x", "checksum": checksum}
    assert arrays["a"].tolist() == [0, 1, 2]


def test_a_calibration_travels_with_the_model(tmp_path: Path) -> None:
    model = Popularity().fit(DATA)
    plain = model.save(tmp_path / "plain")
    scores = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    model.calibration_ = Calibration.fit(scores, [False, True, False, True])
    assert model.save(tmp_path / "calibrated") != plain
    loaded = Popularity.load(tmp_path / "calibrated")
    assert loaded.calibration_ == model.calibration_
    assert loaded.calibration_ is not None
    assert loaded.calibration_new_ is None
    model.calibration_new_ = Calibration.fit(scores, [False, False, False, True])
    model.save(tmp_path / "both")
    loaded = Popularity.load(tmp_path / "both")
    assert (loaded.calibration_, loaded.calibration_new_) == (model.calibration_, model.calibration_new_)
