"""A fitted model on disk: `model.json`, one `.npy` per array, checksummed, memory-mapped, never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from features.arrays import read_arrays, write_arrays
from recsys.errors import Invalid, NotFound

__all__ = ["FORMAT", "HEADER", "read_artifact", "read_header", "write_artifact"]

HEADER = "model.json"
FORMAT = 1


def write_artifact(folder: Path, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Write the folder whole or not at all; return its checksum (SHA-256, hex)."""
    return write_arrays(folder, {"format": FORMAT, **header}, arrays, header_name=HEADER)


def read_artifact(folder: Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header and memory-mapped arrays. Raises NotFound, or Invalid when damaged or of another format."""
    read_header(folder)
    header, arrays, total = read_arrays(folder, header_name=HEADER, verify=verify)
    header["checksum"] = total
    return header, arrays


def read_header(folder: Path) -> dict[str, Any]:
    """The header alone, unverified. Raises NotFound, or Invalid when it is no header of a format we read."""
    path = folder / HEADER
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFound(f"{folder} holds no {HEADER}; expected the folder of a trained model") from error
    except (OSError, ValueError) as error:
        raise Invalid(f"{path} is damaged ({error}); restore the folder or train the model again") from error
    header = document.get("header") if isinstance(document, dict) else None
    if not isinstance(header, dict) or not isinstance(document.get("arrays"), dict):
        raise Invalid(f"{path} is damaged (not the header of a model); restore the folder or train again")
    if header.get("format") != FORMAT:
        raise Invalid(
            f"{folder} is an artifact of format {header.get('format')}; this version reads format {FORMAT}. "
            "Train the model again, or run the version that wrote it"
        )
    return header
