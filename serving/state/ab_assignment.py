"""Keeps the A/B test that runs, with its challenger loaded beside the model that serves."""

from __future__ import annotations

import threading
import time

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.service import Arm, Running, arm_of, unit_of
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue
from serving.ranking.cold_start import ColdStartProducts
from serving.recommender.request import Placement, RecommendationRequest
from serving.state.active_model import ActiveModel, LoadedModel

__all__ = ["SHELVES", "AbAssignment", "RunningTest"]

SHELVES = frozenset(
    {Placement.FOR_YOU, Placement.SIMILAR, Placement.BOUGHT_TOGETHER, Placement.BECAUSE_YOU_VIEWED}
)
"""Those that ask the model that serves; what everybody does, or the user bought, is the same in both arms."""
RETRY_SECONDS = 30.0
PATIENCE = 5
"""After so many answers in a row that the challenger gave too late or not at all it is left alone a while."""
_log = get_logger(__name__)


class RunningTest:
    """A running test as answers need it."""

    def __init__(self, test: Running, loaded: LoadedModel | None, problem: str | None) -> None:
        self.test = test
        self.model = ActiveModel()
        """In the place of the one that serves, for who is answered by the challenger."""
        self.model.current, self.model.problem = loaded, problem
        self._arrivals: tuple[Catalogue | None, ColdStartProducts] = (None, ColdStartProducts())
        self._lock = threading.Lock()
        self._failures = 0
        self._traced = False
        self._rests_until = 0.0

    @property
    def loaded(self) -> LoadedModel | None:
        """The challenger, unless it can't answer or is left alone for a while."""
        return None if time.monotonic() < self._rests_until else self.model.current

    @property
    def problem(self) -> str | None:
        """Why the challenger does not answer; None when it does."""
        if self.model.problem is None and time.monotonic() < self._rests_until:
            return f"{self.test.challenger} was too slow or failed {PATIENCE} times in a row"
        return self.model.problem

    def arm(self, wish: RecommendationRequest) -> Arm | None:
        """Whose a wish is; None where the models have no part in it, or nobody in particular asks."""
        unit = unit_of(wish.user, wish.session)
        return None if unit is None or wish.shelf not in SHELVES else arm_of(self.test, unit)

    def arrivals(self) -> ColdStartProducts:
        """The products that the challenger does not know."""
        return self._arrivals[1]

    def prepare(self, catalogue: Catalogue) -> None:
        """Make in the background what the first answer after a change would have to."""
        loaded = self.model.current
        if loaded is not None and self._arrivals[0] is not catalogue:
            self._arrivals = catalogue, ColdStartProducts.of(catalogue, loaded)

    def succeeded(self) -> None:
        """The challenger answered in time."""
        self._failures = 0

    def failed(self, error: Exception | None = None) -> None:
        """It did not: one that is slow or fails again and again must not hold up everybody's lists."""
        with self._lock:
            # the trace once: writing it down takes longer than the answer
            traced, self._traced = self._traced, self._traced or error is not None
            self._failures += 1
            tired = self._failures >= PATIENCE
            if tired:
                self._failures, self._rests_until = 0, time.monotonic() + RETRY_SECONDS
        if error is not None:
            _log.error(
                "the challenger of an A/B test failed, and the model that serves answered",
                test=self.test.name,
                reason=type(error).__name__,
                exc_info=None if traced else error,
            )
        if not tired:
            return
        _log.error(
            "the challenger of an A/B test is left alone for a while, and the model that serves answers",
            test=self.test.name,
            challenger=self.test.challenger,
            seconds=RETRY_SECONDS,
        )


class AbAssignment:
    """`current` is the test that runs, None without one; `refresh` belongs into the background."""

    def __init__(self) -> None:
        self.current: RunningTest | None = None
        self._retry_at = 0.0

    def refresh(self, catalogue: Catalogue) -> None:
        """Notice a start or an end, and load what is tested.

        Raises Unavailable when the database cannot be asked; what runs then goes on.
        """
        registered, problem = None, None
        with unit_of_work() as session:
            test, current = ab_tests.running(session), self.current
            same = current is not None and current.test == test
            if test is not None and not (same and self._settled()):
                try:
                    registered = registry.get(session, test.challenger)
                except NotFound as error:
                    problem = error.message
        if test is None:
            self._end()
        elif not (same and self._settled()):
            # until it is loaded its visitors are answered by the model that serves
            self.current = RunningTest(test, None, problem or f"{test.challenger} is being loaded")
            self.current = self._loaded(test, registered, problem)
        if self.current is not None:
            self.current.prepare(catalogue)

    def _settled(self) -> bool:
        """Whether there is nothing to load, or it was tried a moment ago."""
        current = self.current
        return current is not None and (
            current.model.current is not None or time.monotonic() < self._retry_at
        )

    def _end(self) -> None:
        if self.current is not None:
            _log.info("an A/B test ended", test=self.current.test.name)
            self.current = None

    def _loaded(self, test: Running, registered: RegisteredModel | None, problem: str | None) -> RunningTest:
        error: Exception | None = None
        if registered is not None:
            try:
                loaded = LoadedModel(registered, registry.load(registered))
            except Exception as raised:  # noqa: BLE001 a plugged-in algorithm may fail in ways of its own
                error = None if isinstance(raised, RecsysError) else raised
                problem = str(raised) if error is None else f"it cannot be loaded ({type(raised).__name__})"
            else:
                _log.info("an A/B test runs", test=test.name, challenger=test.challenger, share=test.share)
                return RunningTest(test, loaded, None)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        _log.error(
            "the challenger of an A/B test cannot be loaded, and the model that serves answers",
            test=test.name,
            challenger=test.challenger,
            reason=problem,
            exc_info=error,
        )
        return RunningTest(test, None, problem)
