"""The folder `var/` is closed to others, but for the account of the embedded servers."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from recsys.private_folder import keep_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.mark.parametrize("given", [0o777, 0o755, 0o750, 0o500])
def test_it_is_made_and_closed(tmp_path: Path, given: int) -> None:
    folder = tmp_path / "a" / "var"
    keep_private(folder)
    assert mode(folder) == 0o700
    folder.chmod(given)
    keep_private(folder)
    assert mode(folder) == 0o700


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root starts servers as others")
def test_a_second_command_does_not_close_it_while_the_first_makes_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    keep_private(folder, group=12_345)
    assert (mode(folder), folder.stat().st_gid) == (0o710, 12_345)
    keep_private(folder)
    assert (mode(folder), folder.stat().st_gid) == (0o710, 12_345)
