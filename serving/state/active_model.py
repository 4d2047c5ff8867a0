"""The active model: loaded from the registry and exchanged while serving."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from features.interactions import History
from models.base import Recommender
from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from serving.ranking.eligibility import Novelty

__all__ = ["ActiveModel", "LoadedModel"]

RETRY_SECONDS = 30.0
_log = get_logger(__name__)
_LIVE_MODEL_QUERY = text(
    "SELECT model_name FROM recommendations_db.recommendation_generations WHERE status = 'live'"
)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A fitted model with its registry row. Hold `lock` while it ranks: models reuse one score buffer."""

    registered: RegisteredModel
    model: Recommender
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, registered: RegisteredModel) -> LoadedModel:
        """Load a model of the registry, ready to rank within a request's deadline.

        The first list of each question is made here: libraries, machine code and matrices that a model
        prepares when it first needs them take seconds.

        Raises
        ------
        Unavailable
            As `registry.load`.
        Exception
            What the model raises.
        """
        model = registry.load(registered)
        history = History.of(model.items_.ids[:1])
        for novelty in Novelty:
            model.evidence(model.recommend_from([history], 1, exclude=novelty.excluded), [history])
        model.similar_items(history.products, 1)
        return cls(registered, model)

    @property
    def kind(self) -> Kind:
        """The type of its list entries."""
        if self.registered.algorithm == "popularity":
            return Kind.POPULAR
        return Kind.CONTENT_BASED if self.registered.type == "content_based" else Kind.COLLABORATIVE

    def units(self, scores: npt.NDArray[np.float32], novelty: Novelty = Novelty.ANY) -> npt.NDArray[np.int64]:
        """Return scores as calibrated ten-thousandths.

        Each novelty has its own calibration. The scores of a model without one are mapped monotonically to
        0..1, which keeps their order but makes them no probabilities.

        Returns
        -------
        int64, the shape of `scores`
            From 0 to `SCORE_UNIT`.
        """
        calibration = self.model.calibration_
        if novelty is Novelty.NEW and self.model.calibration_new_ is not None:
            calibration = self.model.calibration_new_
        if calibration is not None:
            probabilities = calibration(scores)
        else:
            finite = np.where(np.isfinite(scores), scores, 0.0)
            probabilities = np.where(np.isfinite(scores), 0.5 + 0.5 * finite / (1.0 + np.abs(finite)), 0.0)
        return np.rint(np.clip(probabilities, 0.0, 1.0) * SCORE_UNIT).astype(np.int64)


class ActiveModel:
    """Keeps `current` at the active model of the registry.

    A new model that cannot be loaded is reported and retried later; meanwhile the previous one serves.
    """

    def __init__(self) -> None:
        self.current: LoadedModel | None = None
        self.problem: str | None = "not loaded yet"
        self._failed: tuple[int, str, float] | None = None

    def refresh(self) -> bool:
        """Load the active model of the registry; True when `current` changed.

        Raises
        ------
        Unavailable
            The database cannot be reached.
        """
        with unit_of_work() as session:
            active = registry.active(session)
            previous_model = None
            if (
                self.current is None
                and (name := session.scalars(_LIVE_MODEL_QUERY).one_or_none()) is not None
            ):
                try:
                    previous_model = registry.get(session, name)
                except NotFound:
                    _log.warning(
                        "the model of the stored recommendations is no longer registered", model=name
                    )
        if active is None:
            self.problem = "no model is active; run `recsys train run` and `recsys train promote`"
            return False
        current = self.current
        if current is not None and _is_same(current.registered, active):
            self.problem = None
            return False
        return self._load(active) or (
            previous_model is not None and not _is_same(previous_model, active) and self._load(previous_model)
        )

    def _load(self, registered: RegisteredModel) -> bool:
        failed = self._failed
        if (
            failed is not None
            and failed[:2] == (registered.id, registered.checksum)
            and time.monotonic() < failed[2]
        ):
            return False
        try:
            model = LoadedModel.load(registered)
        except Exception as error:  # noqa: BLE001 an algorithm of a plugin may raise anything
            self._failed = (registered.id, registered.checksum, time.monotonic() + RETRY_SECONDS)
            expected = isinstance(error, RecsysError)
            self.problem = (
                str(error) if expected else f"{registered.name} cannot be loaded ({type(error).__name__})"
            )
            _log.error(
                "a model cannot be loaded",
                model=registered.name,
                goes_on="popular products" if self.current is None else self.current.registered.name,
                reason=self.problem,
                exc_info=None if expected else error,
            )
            return False
        previous = None if self.current is None else self.current.registered.name
        self.current = model
        if registered.is_active:
            self.problem, self._failed = None, None
        _log.info("model loaded", model=registered.name, before=previous)
        return True


def _is_same(model: RegisteredModel, other: RegisteredModel) -> bool:
    return (model.id, model.checksum) == (other.id, other.checksum)
