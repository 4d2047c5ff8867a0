"""Models beside the one that serves, which know what it does not: what is bought together, for example."""

from __future__ import annotations

import time
from collections.abc import Iterator

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.log import get_logger
from serving.state.active_model import LoadedModel

__all__ = ["AuxiliaryModels"]

WANTED = (
    "similar_items",
    "complements",
    "bought_together",
    "buy_again",
    "co_visitation",
    "item_knn",
    "content",
)
"""Algorithms whose newest registered model is kept; memory-mapped, so what is not asked costs little."""
RETRY_SECONDS = 60.0
_log = get_logger(__name__)


class AuxiliaryModels:
    """The newest registered model of each wanted algorithm; a former one stays when a new one is damaged."""

    def __init__(self) -> None:
        self._loaded: dict[str, LoadedModel] = {}
        self._failed: dict[tuple[int, str], float] = {}

    def refresh(self) -> None:
        """Look at the registry and load what is new. Raises Unavailable when the database cannot be asked."""
        with unit_of_work() as session:
            newest: dict[str, RegisteredModel] = {}
            for model in registry.list_models(session):
                if model.algorithm in WANTED and not _held_back(model):
                    newest.setdefault(model.algorithm, model)
        current = dict(self._loaded)
        for algorithm in current.keys() - newest.keys():
            del current[algorithm]
        for algorithm, model in newest.items():
            kept, key = current.get(algorithm), (model.id, model.checksum)
            if kept is not None and (kept.registered.id, kept.registered.checksum) == key:
                continue
            if time.monotonic() < self._failed.get(key, 0.0):
                continue
            try:
                current[algorithm] = LoadedModel(model, registry.load(model))
            except Exception as error:  # noqa: BLE001 a plugged-in algorithm may fail in ways of its own
                self._failed[key] = time.monotonic() + RETRY_SECONDS
                _log.warning(
                    "a model beside the serving one cannot be loaded", model=model.name, error=str(error)
                )
        self._loaded = current

    def of(self, *algorithms: str) -> Iterator[LoadedModel]:
        """Those that are there, in the order asked for."""
        loaded = self._loaded
        for algorithm in algorithms:
            if algorithm in loaded:
                yield loaded[algorithm]


def _held_back(model: RegisteredModel) -> bool:
    """Whether a person said that this version is not to be used."""
    gate = model.parameters.get("gate")
    return isinstance(gate, dict) and gate.get("by_hand") is True
