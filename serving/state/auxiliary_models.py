"""Auxiliary models: beside the serving one, for what it does not know, such as products bought together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.log import get_logger
from serving.state.active_model import LoadedModel

__all__ = ["AuxiliaryModelRefresher", "AuxiliaryModels"]

WANTED = (
    "similar_items",
    "complements",
    "bought_together",
    "buy_again",
    "co_visitation",
    "item_knn",
    "content",
)
"""Algorithms whose newest registered model is kept; memory-mapped, so an unused one costs little memory."""
RETRY_SECONDS = 60.0
_log = get_logger(__name__)


class AuxiliaryModels:
    """Loaded models by algorithm; never changed."""

    def __init__(self, loaded: Mapping[str, LoadedModel] | None = None) -> None:
        self.loaded = dict(loaded or {})

    def of(self, *algorithms: str) -> Iterator[LoadedModel]:
        """Those that are there, in the order of `algorithms`."""
        for algorithm in algorithms:
            if algorithm in self.loaded:
                yield self.loaded[algorithm]


class AuxiliaryModelRefresher:
    """Keeps the newest registered model of each algorithm; a former one stays when a new one is damaged."""

    def __init__(self) -> None:
        self.current = AuxiliaryModels()
        self._failed: dict[tuple[int, str], float] = {}

    def refresh(self) -> AuxiliaryModels:
        """Look at the registry and load what is new. Raises Unavailable when the database cannot be asked."""
        with unit_of_work() as session:
            newest: dict[str, RegisteredModel] = {}
            for model in registry.list_models(session):
                if model.algorithm in WANTED and not _is_held_by_hand(model):
                    newest.setdefault(model.algorithm, model)
        loaded = {name: model for name, model in self.current.loaded.items() if name in newest}
        for algorithm, model in newest.items():
            former, key = loaded.get(algorithm), (model.id, model.checksum)
            if former is not None and (former.registered.id, former.registered.checksum) == key:
                continue
            if time.monotonic() < self._failed.get(key, 0.0):
                continue
            try:
                loaded[algorithm] = LoadedModel(model, registry.load(model))
            except Exception as error:  # noqa: BLE001 a plugged-in algorithm may fail in ways of its own
                self._failed[key] = time.monotonic() + RETRY_SECONDS
                _log.warning("an auxiliary model cannot be loaded", model=model.name, error=str(error))
        if loaded != self.current.loaded:
            self.current = AuxiliaryModels(loaded)
        return self.current


def _is_held_by_hand(model: RegisteredModel) -> bool:
    """Whether a person decided that this version is not to be used."""
    gate = model.parameters.get("gate")
    return isinstance(gate, dict) and gate.get("by_hand") is True
