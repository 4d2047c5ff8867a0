"""Damage in the artifact of a model, found without the packages that write artifacts; and their store.

The header `model.json` lists each array's file with its dtype, shape and SHA-256, and holds a checksum of
itself and of these (`features.arrays` writes it).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from recsys.artifacts.store import artifact_store
from recsys.diagnosis.finding import Finding
from recsys.errors import Invalid, NotFound, RecsysError, Unavailable
from recsys.settings import Settings

__all__ = ["artifact_fault", "fault_of", "store_finding"]

_PART = "artifact store"


def store_finding(settings: Settings) -> Finding:
    """Whether the store answers, and has what was made on this machine."""
    store = artifact_store(settings)
    if not store.is_shared:
        return Finding(_PART, "ok", f"{settings.var}, which no other host reads")
    try:
        store.check()
        missing = store.unpublished()
    except RecsysError as error:
        remedy = "mend what it names; meanwhile each host serves what it has, and nothing new is promoted"
        return Finding(_PART, "broken", error.message, remedy)
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        found = f"{store.address} answers, and lacks what is on this machine: {listed}"
        return Finding(_PART, "attention", found, "recsys artifacts publish")
    return Finding(
        _PART, "ok", f"{store.address} answers; {store.cached_bytes() / 2**20:,.0f} MiB are cached here"
    )


def fault_of(settings: Settings, artifact: str, registered: str | None) -> str | None:
    """What `artifact_fault` finds in the store that hosts fetch from; in var, where that is away or none."""
    store = artifact_store(settings)
    if store.is_shared:
        try:
            with store.some_files(artifact, lambda _: True) as folder:
                fault = artifact_fault(folder, registered)
                return None if fault is None else fault.replace(str(folder), f"{store.address}/{artifact}")
        except Unavailable:
            # the finding about the store says so; the copy is what is served until it is back
            return artifact_fault(settings.var / artifact, registered)
        except (NotFound, Invalid) as error:
            return error.message
    return artifact_fault(settings.var / artifact, registered)


def artifact_fault(folder: Path, registered: str | None) -> str | None:
    """What is wrong with an artifact, in words that follow "its model is active, but"; None when it is whole.

    Parameters
    ----------
    folder
        The folder of the artifact.
    registered
        The checksum in the model's registry row; None for rows without one.
    """
    path = folder / "model.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        total, header = document["checksum"], document["header"]
        arrays = {
            str(name): (entry["dtype"], entry["shape"], str(entry["sha256"]))
            for name, entry in document["arrays"].items()
        }
    except FileNotFoundError:
        return f"its artifact is missing ({path})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path} cannot be read ({type(error).__name__})"
    lines = [
        json.dumps(header, sort_keys=True),
        *(f"{name}:{digest}" for name, (_, _, digest) in sorted(arrays.items())),
    ]
    if hashlib.sha256("\n".join(lines).encode()).hexdigest() != total:
        return f"{path} is damaged (it does not match its checksum)"
    if registered is not None and total != registered:
        return f"{path} belongs to another model (its checksum is not the registered one)"
    for name, expected in arrays.items():
        fault = _array_fault(folder / f"{name}.npy", *expected)
        if fault is not None:
            return fault
    return None


def _array_fault(file: Path, dtype: str, shape: list[int], digest: str) -> str | None:
    import numpy as np

    try:
        array: Any = np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        return f"its artifact lacks {file}"
    # a wrong byte in the head of the file raises nearly anything
    except Exception as error:  # noqa: BLE001 an array that cannot be read is the finding
        return f"{file} is damaged ({type(error).__name__})"
    if array.dtype.str != dtype or list(array.shape) != shape:
        return f"{file} is damaged (it has another shape or type than its header says)"
    contiguous = np.asarray(array, order="C")
    found = hashlib.sha256(f"{contiguous.dtype.str}{contiguous.shape}".encode())
    found.update(contiguous.reshape(-1).view(np.uint8).data)
    return None if found.hexdigest() == digest else f"{file} is damaged (it does not match its checksum)"
