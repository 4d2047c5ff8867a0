"""The registered model that serves now: exchanged while running, the former one kept at need."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from models.base import Recommender
from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue
from serving.ranking.eligibility import Novelty

__all__ = ["ActiveModel", "LoadedModel"]

RETRY_SECONDS = 30.0
_log = get_logger(__name__)
_FORMER = text("SELECT model_name FROM recommendations_db.recommendation_generations WHERE status = 'live'")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A fitted model with its registry row. Hold `lock` while asking it: models reuse one score buffer."""

    registered: RegisteredModel
    model: Recommender
    lock: threading.Lock = field(default_factory=threading.Lock)
    _gone: list[tuple[Catalogue, npt.NDArray[np.int64]]] = field(default_factory=list, repr=False)

    def gone(self, catalogue: Catalogue) -> npt.NDArray[np.int64]:
        """Products that the model knows and the shop no longer has."""
        kept = self._gone[-1:]
        if not kept or kept[0][0] is not catalogue:
            ids = self.model.items_.ids
            kept = self._gone[:] = [(catalogue, ids[catalogue.rows(ids) < 0])]
        return kept[0][1]

    @property
    def kind(self) -> Kind:
        """What its lists are called."""
        if self.registered.algorithm == "popularity":
            return Kind.POPULAR
        return Kind.CONTENT_BASED if self.registered.type == "content_based" else Kind.COLLABORATIVE

    def units(
        self, scores: npt.NDArray[np.float32], question: Novelty = Novelty.ANY
    ) -> npt.NDArray[np.int64]:
        """Scores as calibrated ten-thousandths, int64, same shape.

        Each question has a calibration of its own. A model without one gets a monotone squeeze into 0..1,
        which orders but promises no chance.
        """
        calibration = self.model.calibration_
        if question is Novelty.NEW and self.model.calibration_new_ is not None:
            calibration = self.model.calibration_new_
        if calibration is not None:
            chances = calibration(scores)
        else:
            finite = np.where(np.isfinite(scores), scores, 0.0)
            chances = np.where(np.isfinite(scores), 0.5 + 0.5 * finite / (1.0 + np.abs(finite)), 0.0)
        return np.rint(np.clip(chances, 0.0, 1.0) * SCORE_UNIT).astype(np.int64)


class ActiveModel:
    """Keeps `current` on the model that the registry calls active.

    A new one that cannot be loaded is reported and tried again later; the former one goes on serving.
    """

    def __init__(self) -> None:
        self.current: LoadedModel | None = None
        self.problem: str | None = "not loaded yet"
        self._failed: tuple[int, str, float] | None = None

    def refresh(self) -> bool:
        """Look at the registry and load what became active; True when `current` changed.

        Raises Unavailable when the database cannot be asked.
        """
        with unit_of_work() as session:
            wanted = registry.active(session)
            former = None
            if self.current is None and (name := session.scalars(_FORMER).one_or_none()) is not None:
                try:
                    former = registry.get(session, name)
                except NotFound:
                    _log.warning(
                        "the model of the stored recommendations is no longer registered", model=name
                    )
        if wanted is None:
            self.problem = "no model is active; run `recsys train run` and `recsys train promote`"
            return False
        current = self.current
        if current is not None and _same(current.registered, wanted):
            self.problem = None
            return False
        return self._load(wanted) or (former is not None and not _same(former, wanted) and self._load(former))

    def _load(self, wanted: RegisteredModel) -> bool:
        tried = self._failed
        if tried is not None and tried[:2] == (wanted.id, wanted.checksum) and time.monotonic() < tried[2]:
            return False
        try:
            loaded = LoadedModel(wanted, registry.load(wanted))
        except Exception as error:  # noqa: BLE001 a plugged-in algorithm may fail in ways of its own
            self._failed = (wanted.id, wanted.checksum, time.monotonic() + RETRY_SECONDS)
            expected = isinstance(error, RecsysError)
            self.problem = (
                str(error) if expected else f"{wanted.name} cannot be loaded ({type(error).__name__})"
            )
            _log.error(
                "a model cannot be loaded",
                model=wanted.name,
                goes_on="popular products" if self.current is None else self.current.registered.name,
                reason=self.problem,
                exc_info=None if expected else error,
            )
            return False
        before = None if self.current is None else self.current.registered.name
        self.current = loaded
        if wanted.is_active:
            self.problem, self._failed = None, None
        _log.info("model loaded", model=wanted.name, before=before)
        return True


def _same(one: RegisteredModel, other: RegisteredModel) -> bool:
    return (one.id, one.checksum) == (other.id, other.checksum)
