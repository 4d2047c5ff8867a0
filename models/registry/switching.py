"""Changes which model serves: promotes, holds and rolls back, with the lists that belong to it.

`recsys train` and the console call these; both leave the same rows in the history of promotions.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.rollback import returning
from recsys.domains.recommendations.stored_lists.rows import settle
from recsys.errors import Conflict, Invalid

__all__ = ["RolledBack", "hold", "is_held", "promote", "roll_back", "rollback_target"]


@dataclass(frozen=True)
class RolledBack:
    """What a rollback changed.

    Attributes
    ----------
    active, before
        The models that serve now and that served before.
    lists
        kept, switched or withdrawn, see `generations.Restored`.
    generation
        Of the lists that are live now.
    redis
        Whether Redis followed at once.
    seconds
        Until answers changed.
    rows_seconds
        From then until `product_recommendations` had followed, too.
    """

    active: str
    before: str
    lists: str
    generation: int | None
    redis: bool
    seconds: float
    rows_seconds: float


def is_held(model: registry.RegisteredModel) -> bool:
    """Whether the rule, or a person, keeps this version from being promoted."""
    gate: Any = model.parameters.get("gate", {})
    return isinstance(gate, dict) and gate.get("action") == "hold"


def promote(name: str, *, actor: str, reason: str, force: bool = False) -> str | None:
    """Make a registered model serve.

    Parameters
    ----------
    force
        Promote although the model is held, and end an A/B test that runs.

    Returns
    -------
    str or None
        The model that served before.

    Raises
    ------
    NotFound
        For an unknown name.
    Invalid
        Without a reason.
    Conflict
        For a held model, or while an A/B test runs.
    Unavailable
        For a damaged artifact.
    """
    why = _stated(reason)
    with unit_of_work() as session:
        model = registry.get(session, name)
    gate = model.parameters.get("gate", {})
    if is_held(model) and not force:
        raise Conflict(f"{name} was held back: {gate.get('reason')}; promote it anyway with --force")
    # a damaged artifact is refused before anything changes, here and where the other hosts fetch it
    registry.load(model)
    registry.check_published(model)
    with returning(name), unit_of_work() as session:
        before = registry.active(session)
        # a model that is promoted again may still have its lists
        lists = generations.restore(session, name, withdraw=False)
        registry.activate(
            session, name, actor=actor, reason=why, figures={"gate": gate, "forced": force}, ends_test=force
        )
    if lists.outcome == "switched":
        list_cache.follow(lists.now)
        settle()
    return None if before is None else before.name


def hold(name: str, *, actor: str, reason: str) -> str | None:
    """Keep a registered model from being promoted without force.

    Returns
    -------
    str or None
        The model that serves.

    Raises
    ------
    NotFound
        For an unknown name.
    Invalid
        Without a reason.
    """
    why = _stated(reason)
    with unit_of_work() as session:
        model, serving = registry.get(session, name), registry.active(session)
        active = None if serving is None else serving.name
        former = model.parameters.get("gate")
        registry.annotate(session, name, {"gate": {"action": "hold", "reason": why, "by_hand": True}})
        registry.record(
            session,
            "hold",
            from_name=active,
            to_name=name,
            actor=actor,
            reason=why,
            figures={"gate_before": former},
        )
    return active


def rollback_target(to: str | None = None) -> tuple[str, registry.RegisteredModel]:
    """The model that serves, and the one to go back to.

    Parameters
    ----------
    to
        The model to go back to; None: that which served before.

    Raises
    ------
    Conflict
        Where there is nothing to go back from or to.
    NotFound
        For an unknown name.
    """
    with unit_of_work() as session:
        serving = registry.active(session)
        if serving is None:
            raise Conflict("no model serves, so there is nothing to roll back")
        target = to or registry.served_before(session, serving.name)
        if target is None:
            raise Conflict(f"nothing served before {serving.name}; name a model with --to")
        if target == serving.name:
            raise Conflict(f"{target} serves already")
        return serving.name, registry.get(session, target)


def roll_back(to: str | None = None, *, actor: str, reason: str) -> RolledBack:
    """Let an earlier model serve again, with the lists that were stored for it; an A/B test ends.

    Model and lists change in one step; the rows of `product_recommendations` follow in a second one.

    Raises
    ------
    Invalid
        Without a reason.
    Conflict, NotFound
        As `rollback_target`.
    Unavailable
        For a damaged artifact.
    """
    why = _stated(reason)
    serving, chosen = rollback_target(to)
    # a damaged artifact is refused before anything changes, here and where the other hosts fetch it
    registry.load(chosen)
    registry.check_published(chosen)
    decided = perf_counter()
    with returning(chosen.name), unit_of_work() as session:
        lists = generations.restore(session, chosen.name)
        registry.activate(
            session,
            chosen.name,
            action="rollback",
            actor=actor,
            reason=why,
            figures={"lists": lists.outcome, "generation_before": lists.before, "generation": lists.now},
            expected=serving,
            ends_test=True,
        )
    redis_followed = list_cache.follow(lists.now) if lists.outcome != "kept" else True
    switched = perf_counter() - decided
    settle()
    return RolledBack(
        active=chosen.name,
        before=serving,
        lists=lists.outcome,
        generation=lists.now,
        redis=redis_followed,
        seconds=round(switched, 3),
        rows_seconds=round(perf_counter() - decided - switched, 3),
    )


def _stated(reason: str) -> str:
    if not reason.strip():
        raise Invalid("--reason is empty; say why in a few words, the audit row keeps it")
    return reason.strip()
