"""A fitted model on disk: `model.json` and one `.npy` per array, checksummed, memory-mapped, never pickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from features.arrays import read_arrays, write_arrays
from recsys.errors import Invalid

__all__ = ["FORMAT", "HEADER", "read_artifact", "write_artifact"]

HEADER = "model.json"
FORMAT = 1


def write_artifact(folder: Path, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Write the folder whole or not at all; return its checksum (SHA-256, hex)."""
    return write_arrays(folder, {"format": FORMAT, **header}, arrays, header_name=HEADER)


def read_artifact(folder: Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header and memory-mapped arrays. Raises NotFound, or Invalid when damaged or of another format."""
    header, arrays, total = read_arrays(folder, header_name=HEADER, verify=verify)
    if header.get("format") != FORMAT:
        raise Invalid(
            f"{folder} is an artifact of format {header.get('format')}; this version reads format {FORMAT}. "
            "Train the model again, or run the version that wrote it"
        )
    header["checksum"] = total
    return header, arrays
