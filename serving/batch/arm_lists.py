"""Stores the lists of the models of an experiment's arms, so that an arm is served as fast as the control."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial

import numpy as np
import numpy.typing as npt

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys import clock
from recsys.database.session import copy_connection, unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of, interleaves
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.arm_lists import arm_lists, give_to_arm, retire_arm_lists
from recsys.domains.recommendations.stored_lists.changes import users_with_lists
from recsys.domains.recommendations.stored_lists.exchange import move_lists, write_moved
from recsys.errors import RecsysError
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.batch.list_storage import ListStorage, UserListWriter, write_user_lists
from serving.batch.preparation import begin_generation
from serving.catalogue.catalogue import Catalogue
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["complete_arms", "models_without_lists", "score_arms", "stored_models", "users_of_arms"]

_log = get_logger(__name__)
Ids = npt.NDArray[np.int64]


def models_without_lists() -> set[str]:
    """The models of the running experiments that have no stored lists; none without an experiment."""
    with unit_of_work() as session:
        models = {name for test in ab_tests.running(session) for name in stored_models(test)}
        return models and models - set(arm_lists(session))


def score_arms(
    catalogue: Catalogue,
    popular: PopularProducts,
    users: Ids,
    *,
    only: set[str] | None = None,
    write: UserListWriter = write_user_lists,
) -> dict[str, int]:
    """Store new lists for the users of each arm that ranks with a model of its own.

    Call it under `locks.only_one_scoring`, before recent interactions are forgotten. A model that fails is
    logged and goes on ranking when it is asked; lists of models that are in no arm any more are removed.

    Parameters
    ----------
    users : int64, shape (users,)
        Users whose lists are stored, ascending.
    only
        Models to score; default: all of the experiments.
    write
        What scores users and stores their lists.

    Returns
    -------
    dict of str to int
        The number of lists by model.
    """
    with unit_of_work() as session:
        tests = ab_tests.running(session)
    models = {name for test in tests for name in stored_models(test)}
    counts = _each(
        tests, models if only is None else models & only, partial(_score, catalogue, popular, users, write)
    )
    # older lists lack what is no longer recent after a scoring of all
    wanted = models if only is not None else set(counts)
    with unit_of_work() as session:
        newest = [lists.id for name, lists in arm_lists(session).items() if name in wanted]
        retired = retire_arm_lists(session, but=newest)
    for generation in retired:
        list_cache.retire_lists(generation)
    return counts


def complete_arms(
    catalogue: Catalogue, popular: PopularProducts, users: Ids, *, write: UserListWriter = write_user_lists
) -> dict[str, int]:
    """Store the lists that arms lack, such as of users who did something since, beside those they have.

    Call it under `locks.only_one_scoring`.

    Parameters
    ----------
    users : int64, shape (users,)
        Users whose lists are stored, ascending.
    write
        What scores users and stores their lists.

    Returns
    -------
    dict of str to int
        The number of new lists by model.
    """
    with unit_of_work() as session:
        tests, stored = ab_tests.running(session), arm_lists(session)
    models = stored.keys() & {name for test in tests for name in stored_models(test)}
    return _each(tests, models, partial(_complete, catalogue, popular, users, write))


def _each(
    tests: Sequence[Running],
    models: Collection[str],
    make: Callable[[Sequence[Running], RegisteredModel], int],
) -> dict[str, int]:
    """Make the lists of these models, each with its tests; a model that fails is logged and left out."""
    counts: dict[str, int] = {}
    for name in sorted(models):
        of_model = [test for test in tests if name in stored_models(test)]
        try:
            with unit_of_work() as session:
                registered = registry.get(session, name)
            counts[name] = make(of_model, registered)
        except Exception as error:  # noqa: BLE001 a model on trial may raise anything
            _log.error(
                "the lists of an arm's model are not stored; it ranks when it is asked",
                tests=[test.name for test in of_model],
                model=name,
                reason=str(error),
                exc_info=None if isinstance(error, RecsysError) else error,
            )
    return counts


def stored_models(test: Running) -> set[str]:
    """The models of arms that are not ranked live."""
    return {
        arm.variant.model
        for arm in test.design.treatments
        if arm.variant.model is not None and not arm.variant.live
    }


def users_of_arms(tests: Sequence[Running], model: str, users: Ids) -> Ids:
    """Return the users, int64, ascending, who are in an arm with this model; all where sessions decide."""
    wanted = set[int]()
    for test in tests:
        if test.design.unit == "session":
            return users
        names = {arm.name for arm in test.design.arms if arm.variant.model == model}
        wanted |= {
            user
            for user in users.tolist()
            if (
                interleaves(test, f"user:{user}")
                if test.design.kind == "interleaved"
                else arm_of(test, f"user:{user}").name in names
            )
        }
    return np.array(sorted(wanted), dtype=np.int64)


def _score(
    catalogue: Catalogue,
    popular: PopularProducts,
    users: Ids,
    write: UserListWriter,
    tests: Sequence[Running],
    registered: RegisteredModel,
) -> int:
    settings, model = get_settings().serving, LoadedModel.load(registered)
    generation = begin_generation(registered)
    storage = ListStorage(generation, int(settings.expires_after_hours * 3600))
    try:
        mine = users_of_arms(tests, registered.name, users)
        written = write(model, catalogue, popular, settings, mine, storage)
        with unit_of_work() as session:
            locks.only_one_promotion(session)
            running = {test.id for test in ab_tests.running(session)}
            is_running = not running.isdisjoint(test.id for test in tests)
            if is_running:
                give_to_arm(
                    session,
                    generation,
                    users=written.lists,
                    expires_at=clock.now() + timedelta(hours=settings.expires_after_hours),
                )
            else:
                generations.give_up(session, generation)
    except Exception:
        with unit_of_work() as session:
            generations.give_up(session, generation)
        list_cache.retire_lists(generation, 0)
        raise
    if not is_running:
        list_cache.retire_lists(generation, 0)
        return 0
    return written.lists


def _complete(
    catalogue: Catalogue,
    popular: PopularProducts,
    users: Ids,
    write: UserListWriter,
    tests: Sequence[Running],
    registered: RegisteredModel,
) -> int:
    with unit_of_work() as session:
        lists = arm_lists(session)[registered.name]
    with copy_connection("recommendations") as connection:
        listed = users_with_lists(connection, lists.id)
    missing = np.setdiff1d(users_of_arms(tests, registered.name, users), np.array(listed, dtype=np.int64))
    if not missing.size:
        return 0
    staged = begin_generation(registered)
    storage = ListStorage(staged, lists.seconds_left, in_redis=False)
    try:
        write(LoadedModel.load(registered), catalogue, popular, get_settings().serving, missing, storage)
        with unit_of_work() as session:
            locks.only_one_promotion(session)
            moved: list[int] = []
            if arm_lists(session).get(registered.name) == lists:
                moved = move_lists(session, staged, lists)
            else:
                generations.give_up(session, staged)
    except Exception:
        with unit_of_work() as session:
            generations.give_up(session, staged)
        raise
    write_moved(lists, moved)
    return len(moved)
