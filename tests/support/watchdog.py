"""Deletes the test servers of a `var/` when its stdin closes, that is, however the tests end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from recsys import embedded
from recsys.settings import Settings


def main() -> None:
    """Usage: `python -m tests.support.watchdog VAR`."""
    var = Path(sys.argv[1])
    sys.stdin.read()
    Settings.model_config["env_file"] = None
    embedded.remove(Settings(var=var))
    shutil.rmtree(var)


if __name__ == "__main__":
    main()
