"""Arrays that a thread uses again and again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["scratch"]


class _Scratch(threading.local):
    """A fresh array costs several times what fills it (page faults): one of each name is kept."""

    def __init__(self) -> None:
        self._kept: dict[str, npt.NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> npt.NDArray[Any]:
        """Uninitialised; it begins on a cache line, as vector loads across lines cost a third more."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        kept = self._kept.get(name)
        if kept is None or kept.size < size + 64:
            kept = self._kept[name] = np.empty(size + 64, dtype=np.uint8)
        start = -kept.ctypes.data % 64
        return kept[start : start + size].view(kind).reshape(shape)


scratch = _Scratch()
