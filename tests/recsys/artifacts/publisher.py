"""Publishes an artifact slowly, so that a test can end it in the middle: `publisher.py NAME`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from recsys.artifacts.object_storage import ObjectStorage
from recsys.artifacts.store import artifact_store


def main(name: str) -> None:
    """Say `ready` after the first file has arrived."""
    upload = ObjectStorage.upload

    def slowly(self: Any, source: Path, path: str) -> None:
        upload(self, source, path)
        print("ready", flush=True)  # noqa: T201 what the test waits for
        time.sleep(0.2)

    ObjectStorage.upload = slowly  # type: ignore[method-assign]
    artifact_store().publish(name)


if __name__ == "__main__":
    main(sys.argv[1])
