"""The running A/B test, with its challenger loaded beside the serving model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

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
from serving.state.active_model import LoadedModel

__all__ = ["TESTED_PLACEMENTS", "AbTestRefresher", "RunningTest"]

TESTED_PLACEMENTS = frozenset(
    {Placement.FOR_YOU, Placement.SIMILAR, Placement.BOUGHT_TOGETHER, Placement.BECAUSE_YOU_VIEWED}
)
"""Placements that the serving model ranks; the others are the same in both arms."""
RETRY_SECONDS = 30.0
MAX_FAILURES = 5
"""Late or failed lists in a row after which the challenger is paused."""
_log = get_logger(__name__)


class RunningTest:
    """A running test with its challenger; pauses a challenger that fails repeatedly."""

    def __init__(self, test: Running, challenger: LoadedModel | None, problem: str | None) -> None:
        self.test = test
        self._challenger, self._problem = challenger, problem
        self._cold_start: tuple[Catalogue | None, ColdStartProducts] = (None, ColdStartProducts())
        self._lock = threading.Lock()
        self._failures = 0
        self._was_traced = False
        self._paused_until = 0.0

    @property
    def is_loaded(self) -> bool:
        """Whether the challenger was loaded, paused or not."""
        return self._challenger is not None

    @property
    def challenger(self) -> LoadedModel | None:
        """The challenger, unless it is not loaded or paused after failures."""
        return None if time.monotonic() < self._paused_until else self._challenger

    @property
    def problem(self) -> str | None:
        """Why the challenger is not used; None when it is."""
        if self._problem is None and time.monotonic() < self._paused_until:
            return f"{self.test.challenger} was too slow or failed {MAX_FAILURES} times in a row"
        return self._problem

    @property
    def cold_start(self) -> ColdStartProducts:
        """The products that the challenger does not know."""
        return self._cold_start[1]

    def arm(self, request: RecommendationRequest) -> Arm | None:
        """Return the arm of a request; None where no model ranks it, or it has no visitor."""
        unit = unit_of(request.user, request.session)
        return None if unit is None or request.placement not in TESTED_PLACEMENTS else arm_of(self.test, unit)

    def prepare(self, catalogue: Catalogue) -> None:
        """Compute what the first request after a change would otherwise have to."""
        if self._challenger is not None and self._cold_start[0] is not catalogue:
            self._cold_start = catalogue, ColdStartProducts.of(catalogue, self._challenger)

    def succeeded(self) -> None:
        """Note that the challenger ranked in time."""
        self._failures = 0

    def failed(self, error: Exception | None = None) -> None:
        """Note that the challenger was late (no error) or failed; repeated failures pause it."""
        with self._lock:
            # the traceback is logged once: writing it takes longer than ranking a list
            was_traced, self._was_traced = self._was_traced, self._was_traced or error is not None
            self._failures += 1
            paused = self._failures >= MAX_FAILURES
            if paused:
                self._failures, self._paused_until = 0, time.monotonic() + RETRY_SECONDS
        if error is not None:
            _log.error(
                "the challenger of an A/B test failed, and the serving model ranked instead",
                test=self.test.name,
                reason=type(error).__name__,
                exc_info=None if was_traced else error,
            )
        if paused:
            _log.error(
                "the challenger of an A/B test is paused, and the serving model ranks instead",
                test=self.test.name,
                challenger=self.test.challenger,
                seconds=RETRY_SECONDS,
            )


class AbTestRefresher:
    """Notices the start and end of a test, and loads its challenger."""

    def __init__(self) -> None:
        self._current: RunningTest | None = None
        self._retry_at = 0.0

    def refresh(self, catalogue: Catalogue) -> Iterator[RunningTest | None]:
        """Yield the running test, prepared for `catalogue`; a new one first without its challenger.

        Raises Unavailable when the database cannot be reached; the current test goes on.
        """
        registered, problem = None, None
        with unit_of_work() as session:
            test, current = ab_tests.running(session), self._current
            settled = current is not None and current.test == test and self._is_settled(current)
            if test is not None and not settled:
                try:
                    registered = registry.get(session, test.challenger)
                except NotFound as error:
                    problem = error.message
        if test is None:
            if current is not None:
                _log.info("an A/B test ended", test=current.test.name)
            self._current = None
        elif not settled:
            # until it is loaded its visitors get lists by the serving model
            yield RunningTest(test, None, problem or f"{test.challenger} is being loaded")
            self._current = self._load(test, registered, problem)
        if self._current is not None:
            self._current.prepare(catalogue)
        yield self._current

    def _is_settled(self, current: RunningTest) -> bool:
        """Whether there is nothing to load, or loading failed a moment ago."""
        return current.is_loaded or time.monotonic() < self._retry_at

    def _load(self, test: Running, registered: RegisteredModel | None, problem: str | None) -> RunningTest:
        error: Exception | None = None
        if registered is not None:
            try:
                challenger = LoadedModel.load(registered)
            except Exception as load_error:  # noqa: BLE001 an algorithm of a plugin may raise anything
                error = None if isinstance(load_error, RecsysError) else load_error
                problem = (
                    str(load_error) if error is None else f"it cannot be loaded ({type(load_error).__name__})"
                )
            else:
                _log.info("an A/B test runs", test=test.name, challenger=test.challenger, share=test.share)
                return RunningTest(test, challenger, None)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        _log.error(
            "the challenger of an A/B test cannot be loaded, and the serving model ranks instead",
            test=test.name,
            challenger=test.challenger,
            reason=problem,
            exc_info=error,
        )
        return RunningTest(test, None, problem)
