"""Runtime tuning of the API, which is undone at the end."""

from __future__ import annotations

import subprocess
import sys

from tests.support.servers import ROOT

SCRIPT = """
import gc, sys
from serving.server.runtime_tuning import SWITCH_SECONDS, tuned_runtime
def now():
    return gc.get_threshold(), sys.getswitchinterval(), gc.get_freeze_count() > 1000
before = now()
assert not before[2]
with tuned_runtime():
    thresholds, seconds, frozen = now()
    assert thresholds[0] > before[0][0] and seconds == SWITCH_SECONDS and frozen
    with tuned_runtime():
        pass
    assert now() == (thresholds, seconds, frozen), "the inner one brought back what the outer one set apart"
assert now() == before
"""


def test_objects_of_the_start_are_frozen_until_the_end() -> None:
    """In a process of its own, which holds little and is nobody else's."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
