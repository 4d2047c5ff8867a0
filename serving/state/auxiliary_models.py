"""Auxiliary models: beside the serving model, for other tasks, such as products bought together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.log import get_logger
from serving.state.active_model import LoadedModel

__all__ = ["AuxiliaryModelRefresher", "AuxiliaryModels"]

ALGORITHMS = (
    "similar_items",
    "complements",
    "bought_together",
    "buy_again",
    "co_visitation",
    "item_knn",
    "content",
)
"""Algorithms whose newest model is loaded; memory-mapped, so that an unused one takes little memory."""
RETRY_SECONDS = 60.0
_log = get_logger(__name__)


class AuxiliaryModels:
    """Loaded models by algorithm; immutable."""

    def __init__(self, by_algorithm: Mapping[str, LoadedModel] | None = None) -> None:
        self.by_algorithm = dict(by_algorithm or {})

    def of(self, *algorithms: str) -> Iterator[LoadedModel]:
        """Yield the loaded ones, in the order of `algorithms`."""
        for algorithm in algorithms:
            if algorithm in self.by_algorithm:
                yield self.by_algorithm[algorithm]


class AuxiliaryModelRefresher:
    """Loads the newest registered model of each algorithm; keeps the previous one if it is damaged."""

    def __init__(self) -> None:
        self.current = AuxiliaryModels()
        self._failed: dict[tuple[int, str], float] = {}

    def refresh(self) -> AuxiliaryModels:
        """Load new models of the registry. Raises Unavailable when the database cannot be reached."""
        with unit_of_work() as session:
            newest: dict[str, RegisteredModel] = {}
            for model in registry.list_models(session):
                if model.algorithm in ALGORITHMS and not _is_held_manually(model):
                    newest.setdefault(model.algorithm, model)
        by_algorithm = {name: model for name, model in self.current.by_algorithm.items() if name in newest}
        for algorithm, model in newest.items():
            previous, key = by_algorithm.get(algorithm), (model.id, model.checksum)
            if previous is not None and (previous.registered.id, previous.registered.checksum) == key:
                continue
            if time.monotonic() < self._failed.get(key, 0.0):
                continue
            try:
                by_algorithm[algorithm] = LoadedModel.load(model)
            except Exception as error:  # noqa: BLE001 an algorithm of a plugin may raise anything
                self._failed[key] = time.monotonic() + RETRY_SECONDS
                _log.warning("an auxiliary model cannot be loaded", model=model.name, error=str(error))
        if by_algorithm != self.current.by_algorithm:
            self.current = AuxiliaryModels(by_algorithm)
        return self.current


def _is_held_manually(model: RegisteredModel) -> bool:
    """Whether a person decided that this version is not used."""
    gate = model.parameters.get("gate")
    return isinstance(gate, dict) and gate.get("by_hand") is True
