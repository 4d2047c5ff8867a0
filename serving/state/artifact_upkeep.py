"""Whether the store of artifacts answers, and the copies of this machine kept in order while it serves."""

from __future__ import annotations

import time
from collections.abc import Iterable

from models.registry import registry
from recsys.artifacts.store import artifact_store
from recsys.errors import RecsysError
from recsys.log import get_logger
from serving.state.active_model import LoadedModel

__all__ = ["ArtifactUpkeep"]

SWEEP_SECONDS = 60.0
_log = get_logger(__name__)


class ArtifactUpkeep:
    """What the last look at the store has found; `problem` is None while it answers, or there is none."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self._swept_at = float("-inf")

    def refresh(self, in_use: Iterable[LoadedModel]) -> None:
        """Ask the store, and remove copies of what was withdrawn from it, such as by an erasure.

        Parameters
        ----------
        in_use
            Models whose copies stay, for a start while the store is away.
        """
        store = artifact_store()
        if not store.is_shared:
            return
        for model in in_use:
            store.note_use(registry.artifact_name(model.registered.name))
        try:
            store.check()
            if time.monotonic() - self._swept_at > SWEEP_SECONDS:
                removed = store.sweep()
                self._swept_at = time.monotonic()
                if removed:
                    _log.info("copies of withdrawn artifacts were removed", artifacts=removed)
        except RecsysError as error:
            if self.problem is None:
                _log.error(
                    "the store of artifacts is away; what is here goes on serving", reason=error.message
                )
            self.problem = error.message
        else:
            if self.problem is not None:
                _log.info("the store of artifacts answers again")
            self.problem = None
