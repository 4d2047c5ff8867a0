"""Long commands give way to answers; nothing else in the same process does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NICENESS = """
import os
from recsys import cli
from recsys.processes import priority
from recsys.cli import app

@app.command()
def long() -> None:
    priority.give_way()
    print(os.nice(0))

{start}
"""


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system knows no niceness")
@pytest.mark.parametrize(
    ("start", "before", "setting", "after"),
    [
        ("import sys; sys.argv[1:] = ['long']; cli.main()", 0, "10", 10),
        ("import sys; sys.argv[1:] = ['long']; cli.main()", 12, "10", 12),
        ("import sys; sys.argv[1:] = ['long']; cli.main()", 3, "0", 3),
        ("cli.run(['long'])", 0, "10", 0),
    ],
)
def test_a_long_command_lowers_its_own_priority_once(
    start: str, before: int, setting: str, after: int
) -> None:
    here = os.nice(0)
    done = subprocess.run(
        ["nice", "-n", str(before), sys.executable, "-c", NICENESS.format(start=start)],
        env=os.environ | {"RECSYS_BATCH_NICENESS": setting},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == max(here + before, after)
