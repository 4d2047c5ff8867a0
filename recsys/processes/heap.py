"""The heap of glibc: what a process no longer needs goes back to the system."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["trim_heap", "use_one_heap"]

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Options of mallopt(3)."""


def use_one_heap() -> None:
    """Make glibc return unused memory, instead of keeping it for each thread of each worker.

    Its mmap threshold grows with use unless it is set; see mallopt(3). Other C libraries are not tuned.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 2**17), (_TRIM_THRESHOLD, 2**17)):
        mallopt(option, value)


def trim_heap() -> None:
    """Return the memory that finished work no longer needs; see malloc_trim(3)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
