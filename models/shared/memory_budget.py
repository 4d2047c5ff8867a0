"""Whether a fit will fit: its forecast against the memory that is free, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import psutil

from recsys.errors import Invalid

__all__ = ["free_bytes", "refuse_if_larger", "total_bytes"]

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Bytes that this process can still take: of the machine, or of its container where that allows less."""
    machine = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or none that says: the machine's figure stands
        return machine
    return machine if limit == "max" else max(0, min(machine, int(limit) - used))


def total_bytes() -> int:
    """Bytes of memory of the machine, or of the container where that allows less."""
    machine = int(psutil.virtual_memory().total)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
    except OSError:  # no container, or none that says
        return machine
    return machine if limit == "max" else min(machine, int(limit))


def refuse_if_larger(forecast: int, algorithm: str, what: str) -> None:
    """Raises Invalid when a fit of `forecast` bytes has no room; `what` says what would be fitted."""
    free = free_bytes()
    if forecast > free:
        needed, room = (f"{size / 2**30:.1f} GiB" for size in (forecast, free))
        raise Invalid(
            f"fitting {algorithm} on {what} is forecast to take {needed}, and {room} are free; "
            "choose smaller parameters, another algorithm or a larger machine",
            forecast=forecast,
            free=free,
        )
