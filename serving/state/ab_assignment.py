"""The running A/B tests, with the models of their arms loaded beside the serving model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of, interleaves, unit_of
from recsys.domains.recommendations.ab_tests.design import ArmDesign
from recsys.domains.recommendations.stored_lists.arm_lists import arm_lists
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.cold_start import ColdStartProducts
from serving.recommender.request import RecommendationRequest
from serving.state.active_model import LoadedModel

__all__ = ["AbTestRefresher", "ArmModel", "RunningTest", "RunningTests"]

RETRY_SECONDS = 30.0
MAX_FAILURES = 5
"""Late or failed lists in a row after which an arm's model is paused."""
_log = get_logger(__name__)


class ArmModel:
    """A model that an arm ranks with in the place of the serving one; paused when it fails repeatedly."""

    def __init__(self, test: Running, name: str, model: LoadedModel | None, problem: str | None) -> None:
        self.name = name
        self.generation: int | None = None
        """Its stored lists; None where it has none."""
        self._test, self._model, self._problem = test, model, problem
        self._cold_start: tuple[Catalogue | None, ColdStartProducts] = (None, ColdStartProducts())
        self._lock = threading.Lock()
        self._failures = 0
        self._was_traced = False
        self._paused_until = 0.0

    @property
    def is_loaded(self) -> bool:
        """Whether the model was loaded, paused or not."""
        return self._model is not None

    @property
    def model(self) -> LoadedModel | None:
        """The model, unless it is not loaded or paused after failures."""
        return None if time.monotonic() < self._paused_until else self._model

    @property
    def problem(self) -> str | None:
        """Why the model is not used; None when it is."""
        if self._problem is None and time.monotonic() < self._paused_until:
            return f"{self.name} was too slow or failed {MAX_FAILURES} times in a row"
        return self._problem

    @property
    def cold_start(self) -> ColdStartProducts:
        """The products that the model does not know."""
        return self._cold_start[1]

    def prepare(self, catalogue: Catalogue) -> None:
        """Compute what the first request after a change would otherwise have to."""
        if self._model is not None and self._cold_start[0] is not catalogue:
            self._cold_start = catalogue, ColdStartProducts.of(catalogue, self._model)

    def succeeded(self) -> None:
        """Note that the model ranked in time."""
        self._failures = 0

    def failed(self, error: Exception | None = None) -> None:
        """Note that the model was late (no error) or failed; repeated failures pause it."""
        with self._lock:
            # the traceback is logged once: writing it takes longer than ranking a list
            was_traced, self._was_traced = self._was_traced, self._was_traced or error is not None
            self._failures += 1
            paused = self._failures >= MAX_FAILURES
            if paused:
                self._failures, self._paused_until = 0, time.monotonic() + RETRY_SECONDS
        if error is not None:
            _log.error(
                "a model of an A/B test failed, and the serving model ranked instead",
                test=self._test.name,
                model=self.name,
                reason=type(error).__name__,
                exc_info=None if was_traced else error,
            )
        if paused:
            _log.error(
                "a model of an A/B test is paused, and the serving model ranks instead",
                test=self._test.name,
                model=self.name,
                seconds=RETRY_SECONDS,
            )


class RunningTest:
    """A running test with the models of its arms, by name."""

    def __init__(self, test: Running, models: Mapping[str, ArmModel]) -> None:
        self.test, self.models = test, models
        self._without_rules: CompiledRules | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether every arm has its model."""
        return all(each.is_loaded for each in self.models.values())

    @property
    def problem(self) -> str | None:
        """Why an arm is answered by the serving model; None where none is."""
        problems = [each.problem for each in self.models.values() if each.problem is not None]
        return "; ".join(problems) or None

    @property
    def without_rules(self) -> CompiledRules | None:
        """No business rules, for the catalogue of the last `prepare`."""
        return self._without_rules

    def arm(self, request: RecommendationRequest) -> ArmDesign | None:
        """Return the arm of a request; None without a visitor, or where its placement is not tested.

        Interleaved lists are of no arm.
        """
        unit = None if self.test.design.kind == "interleaved" else self._unit(request)
        return None if unit is None else arm_of(self.test, unit)

    def interleaves(self, request: RecommendationRequest) -> bool:
        """Whether the list of a request has products of both arms."""
        unit = None if request.explain else self._unit(request)
        return unit is not None and interleaves(self.test, unit)

    def _unit(self, request: RecommendationRequest) -> str | None:
        design = self.test.design
        if not design.concerns(request.placement):
            return None
        return unit_of(request.user, request.session, by_session=design.unit == "session")

    def prepare(self, catalogue: Catalogue) -> None:
        """Compute what the first request after a change would otherwise have to."""
        for each in self.models.values():
            each.prepare(catalogue)
        if self._without_rules is None or self._without_rules.catalogue is not catalogue:
            self._without_rules = CompiledRules.compile(catalogue, (), clock.now())


class RunningTests(dict[str, RunningTest]):
    """The tests that run, by placement: no two of them share one."""

    def __init__(self, tests: Sequence[RunningTest] = ()) -> None:
        self.all = tuple(tests)
        self.rule_sets = frozenset(name for each in tests for name in each.test.design.rule_sets)
        """The sets of rules that their arms name."""
        placements = ((name, each) for each in tests for name in each.test.design.tested_placements)
        super().__init__(placements)

    def prepare(self, catalogue: Catalogue) -> None:
        """Compute what the first request after a change would otherwise have to."""
        for each in self.all:
            each.prepare(catalogue)


class AbTestRefresher:
    """Notices the starts and ends of tests, and loads the models of their arms."""

    def __init__(self) -> None:
        self._current = RunningTests()
        self._retry_at = 0.0

    def refresh(self, catalogue: Catalogue) -> Iterator[RunningTests]:
        """Yield the running tests, prepared for `catalogue`; new ones first without their models.

        Raises
        ------
        Unavailable
            The database cannot be reached; the current tests go on.
        """
        current = {each.test.id: each for each in self._current.all}
        registered: dict[str, RegisteredModel | str] = {}
        with unit_of_work() as session:
            tests = ab_tests.running(session)
            settled = {test.id: current[test.id] for test in tests if self._is_settled(test, current)}
            stored = arm_lists(session) if tests else {}
            for name in {each for test in tests if test.id not in settled for each in test.design.models}:
                try:
                    registered[name] = registry.get(session, name)
                except NotFound as error:
                    registered[name] = error.message
        for test_id in current.keys() - {test.id for test in tests}:
            _log.info("an A/B test ended", test=current[test_id].test.name)
        if len(settled) < len(tests):
            if registered:
                # until they are loaded the visitors of new tests get lists by the serving model
                preliminary = RunningTests([settled.get(test.id) or _waiting(test) for test in tests])
                preliminary.prepare(catalogue)
                yield preliminary
            self._current = RunningTests(
                [settled.get(test.id) or self._started(test, registered) for test in tests]
            )
        elif len(settled) < len(current):
            self._current = RunningTests(list(settled.values()))
        self._current.prepare(catalogue)
        for each in self._current.all:
            for name, arm_model in each.models.items():
                lists = stored.get(name)
                arm_model.generation = None if lists is None else lists.id
        yield self._current

    def _is_settled(self, test: Running, current: Mapping[int, RunningTest]) -> bool:
        """Whether a test is known, with nothing to load, or loading failed a moment ago."""
        known = current.get(test.id)
        if known is None or known.test != test:
            return False
        return known.is_loaded or time.monotonic() < self._retry_at

    def _started(self, test: Running, registered: Mapping[str, RegisteredModel | str]) -> RunningTest:
        started = RunningTest(
            test, {name: self._load(test, name, registered[name]) for name in test.design.models}
        )
        _log.info("an A/B test runs", test=test.name, shares=test.design.shares)
        return started

    def _load(self, test: Running, name: str, registered: RegisteredModel | str) -> ArmModel:
        error: Exception | None = None
        if isinstance(registered, RegisteredModel):
            try:
                return ArmModel(test, name, LoadedModel.load(registered), None)
            except Exception as load_error:  # noqa: BLE001 an algorithm of a plugin may raise anything
                error = None if isinstance(load_error, RecsysError) else load_error
                problem = (
                    str(load_error) if error is None else f"it cannot be loaded ({type(load_error).__name__})"
                )
        else:
            problem = registered
        self._retry_at = time.monotonic() + RETRY_SECONDS
        _log.error(
            "a model of an A/B test cannot be loaded, and the serving model ranks instead",
            test=test.name,
            model=name,
            reason=problem,
            exc_info=error,
        )
        return ArmModel(test, name, None, problem)


def _waiting(test: Running) -> RunningTest:
    """A test whose models are being loaded."""
    models = {name: ArmModel(test, name, None, f"{name} is being loaded") for name in test.design.models}
    return RunningTest(test, models)
