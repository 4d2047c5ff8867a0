"""A folder of arrays: one JSON header and one `.npy` per array, checksummed, memory-mapped, never pickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import Invalid, NotFound

__all__ = ["checksum", "read_arrays", "write_arrays"]

Array = npt.NDArray[Any]

_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
)
"""What numpy raises over a `.npy` file with a wrong byte somewhere in its head."""


def checksum(arrays: Mapping[str, Array], header: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (hex) of the header and of each array's name, dtype, shape and bytes, in the order of names."""
    return _combine({name: _array_digest(array) for name, array in arrays.items()}, header or {})


def write_arrays(
    folder: Path, header: Mapping[str, Any], arrays: Mapping[str, Array], *, header_name: str
) -> str:
    """Write the folder whole or not at all, replacing what was there.

    Parameters
    ----------
    header
        Must be JSON.

    Returns
    -------
    str
        The folder's checksum.

    Raises
    ------
    ValueError
        For an array of objects, which could only be pickled.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects; only plain numbers are stored")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        listed: dict[str, Any] = {}
        for name, array in arrays.items():
            contiguous = np.asarray(array, order="C")
            np.save(staging / f"{name}.npy", contiguous, allow_pickle=False)
            listed[name] = {
                "dtype": contiguous.dtype.str,
                "shape": list(contiguous.shape),
                "sha256": _array_digest(contiguous),
            }
        total = _combine({name: entry["sha256"] for name, entry in listed.items()}, header)
        document = {"checksum": total, "header": dict(header), "arrays": listed}
        (staging / header_name).write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
        staging.chmod(0o755)
        if folder.exists():
            # rename cannot replace a folder that holds files: the old one steps aside first
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            os.replace(folder, old / folder.name)
            os.replace(staging, folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return total


def read_arrays(
    folder: Path, *, header_name: str, verify: bool = True
) -> tuple[dict[str, Any], dict[str, Array], str]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    verify
        Whether the content of each file is compared with its checksum.

    Returns
    -------
    header : dict
    arrays : dict
        Memory-mapped, read-only.
    checksum : str

    Raises
    ------
    NotFound
        When there is no such folder.
    Invalid
        When the header was changed, when a file is missing, of another shape, or (with `verify`) of another
        content than the header says.
    """
    path = folder / header_name
    if not path.is_file():
        raise NotFound(f"{folder} holds no {header_name}; expected a folder written by this program")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        header, listed, total = document["header"], document["arrays"], str(document["checksum"])
        expected = {
            str(name): (entry["dtype"], entry["shape"], entry["sha256"]) for name, entry in listed.items()
        }
        found = _combine({name: digest for name, (_, _, digest) in expected.items()}, header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(f"{path} is damaged ({error}); restore the folder or build it again") from error
    if found != total:
        raise Invalid(f"{path} does not match its checksum; the header was changed, build the folder again")
    arrays: dict[str, Array] = {}
    for name, (dtype, shape, digest) in expected.items():
        file = folder / f"{name}.npy"
        try:
            # not np.load: it would look at the first bytes and might take a damaged file for another format
            array: Array = np.lib.format.open_memmap(file, mode="r")
        except _DAMAGE as error:
            raise Invalid(f"{file} is missing or damaged ({error}); build the folder again") from error
        if array.dtype.str != dtype or list(array.shape) != shape:
            raise Invalid(f"{file} has another shape or type than {header_name} says; build the folder again")
        if verify and _array_digest(array) != digest:
            raise Invalid(f"{file} does not match its checksum; the file is damaged, build the folder again")
        # a plain view of the map: numpy and scipy take several times as long for each look at a memmap itself
        arrays[name] = np.asarray(array)
    return header, arrays, total


def _combine(digests: Mapping[str, str], header: Mapping[str, Any]) -> str:
    lines = [
        json.dumps(dict(header), sort_keys=True),
        *(f"{name}:{digests[name]}" for name in sorted(digests)),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _array_digest(array: Array) -> str:
    contiguous = np.asarray(array, order="C")
    digest = hashlib.sha256(f"{contiguous.dtype.str}{contiguous.shape}".encode())
    digest.update(contiguous.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
