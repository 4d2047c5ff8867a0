"""Folders of arrays: what comes back is what went in, and damage is refused by the name of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.arrays import checksum, read_arrays, write_arrays
from recsys.errors import Invalid, NotFound

HEADER = "head.json"
ARRAYS: dict[str, npt.NDArray[Any]] = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "ids": np.array([3, 9, 2**40], np.int64),
    "flags": np.array([True, False]),
    "empty": np.empty((0, 3), np.int32),
    "single": np.array(7, np.int16),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "a", {"moment": 5, "word": "naïve"}, ARRAYS, header_name=HEADER)
    return tmp_path / "a"


def test_round_trip_is_memory_mapped_read_only_and_checksummed(folder: Path) -> None:
    header, arrays, total = read_arrays(folder, header_name=HEADER)
    assert header == {"moment": 5, "word": "naïve"}
    assert total == checksum(ARRAYS, header)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.shape == ARRAYS[name].shape
        assert array.dtype == ARRAYS[name].dtype
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_the_checksum_knows_names_types_shapes_values_and_the_header(folder: Path) -> None:
    base: dict[str, npt.NDArray[Any]] = {"a": np.arange(6, dtype=np.int32)}
    others: list[tuple[dict[str, npt.NDArray[Any]], dict[str, int]]] = [
        ({"b": base["a"]}, {}),
        ({"a": base["a"].astype(np.int64)}, {}),
        ({"a": base["a"].reshape(2, 3)}, {}),
        ({"a": base["a"] + 1}, {}),
        (base, {"x": 1}),
    ]
    assert len({checksum(base), *(checksum(arrays, header) for arrays, header in others)}) == 6
    assert checksum({"a": base["a"].reshape(2, 3).T}) == checksum({"a": base["a"].reshape(2, 3).T.copy()})


def test_objects_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'x' holds Python objects"):
        write_arrays(tmp_path / "a", {}, {"x": np.array([{}], object)}, header_name=HEADER)
    assert list(tmp_path.iterdir()) == []


def test_a_pickled_array_in_place_of_ours_is_refused(folder: Path) -> None:
    np.save(folder / "ids.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(Invalid, match=r"ids\.npy"):
        read_arrays(folder, header_name=HEADER)


def test_replacing_leaves_the_new_folder_only_and_a_failure_the_old_one(folder: Path) -> None:
    write_arrays(folder, {"moment": 6}, {"x": np.zeros(2)}, header_name=HEADER)
    header, arrays, _ = read_arrays(folder, header_name=HEADER)
    assert (header, list(arrays)) == ({"moment": 6}, ["x"])
    with pytest.raises(TypeError):
        write_arrays(folder, {"moment": object()}, {"y": np.zeros(2)}, header_name=HEADER)
    assert list(read_arrays(folder, header_name=HEADER)[1]) == ["x"]
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_a_missing_or_shortened_file_is_refused_by_name(folder: Path, name: str) -> None:
    file = folder / f"{name}.npy"
    whole = file.read_bytes()
    for damaged in (whole[:-1] if ARRAYS[name].size else whole[:-5], whole[:20], b""):
        file.write_bytes(damaged)
        with pytest.raises(Invalid, match=rf"{name}\.npy"):
            read_arrays(folder, header_name=HEADER)
    file.unlink()
    with pytest.raises(Invalid, match=rf"{name}\.npy"):
        read_arrays(folder, header_name=HEADER)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_byte_is_refused_by_name(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["numbers.npy", "ids.npy", HEADER]))
    whole = (folder / name).read_bytes()
    # a header of .npy may be padded differently and still say the same; every other byte counts
    start = 128 if name != HEADER else 0
    at = data.draw(st.integers(start, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    try:
        same = name == HEADER and json.loads(flipped) == json.loads(whole)
    except ValueError:
        same = False
    (folder / name).write_bytes(flipped)
    try:
        if same:  # white space for other white space
            read_arrays(folder, header_name=HEADER)
        else:
            with pytest.raises(Invalid):
                read_arrays(folder, header_name=HEADER)
    finally:
        (folder / name).write_bytes(whole)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 90), st.integers(1, 255))
def test_a_damaged_head_of_an_array_never_ends_in_another_error(folder: Path, at: int, by: int) -> None:
    whole = (folder / "numbers.npy").read_bytes()
    flipped = bytearray(whole)
    flipped[at] ^= by
    (folder / "numbers.npy").write_bytes(flipped)
    try:
        _, arrays, _ = read_arrays(folder, header_name=HEADER)
        np.testing.assert_array_equal(arrays["numbers"], ARRAYS["numbers"])
    except Invalid as error:
        assert "numbers.npy" in error.message  # noqa: PT017
    finally:
        (folder / "numbers.npy").write_bytes(whole)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"header": {}, "arrays": [], "checksum": ""}', '{"a": '])
def test_a_header_of_another_shape_is_refused_by_name(folder: Path, text: str) -> None:
    (folder / HEADER).write_text(text)
    with pytest.raises(Invalid, match=r"head\.json"):
        read_arrays(folder, header_name=HEADER)


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"head\.json"):
        read_arrays(tmp_path / "nothing", header_name=HEADER)
