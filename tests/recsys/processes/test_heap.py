"""Freed memory between what is still used goes back to the system when it is trimmed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PIECES = """
import psutil
from recsys.processes.heap import trim_heap

def resident():
    return psutil.Process().memory_info().rss / 2**20

pieces = [bytes(20_000) for _ in range(10_000)]
full = resident()
pieces = pieces[::100]
freed = resident()
trim_heap()
print(full, freed, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not tuned")
def test_pieces_between_what_is_used_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    full, freed, trimmed = map(float, done.stdout.split())
    assert full > 200
    assert freed > full - 50, "glibc keeps them: there is something to trim"
    assert trimmed < full - 150
