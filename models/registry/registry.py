"""Which models exist and which one serves: rows of `recommendation_models`, artifacts in their store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.artifacts.store import artifact_store
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.tables import (
    ModelPromotion,
    RecommendationModel,
)
from recsys.errors import Conflict, Invalid, NotFound, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

if TYPE_CHECKING:
    from models.base import Recommender

__all__ = [
    "RegisteredModel",
    "Registration",
    "activate",
    "active",
    "annotate",
    "artifact_folder",
    "artifact_name",
    "check_published",
    "discard_artifact",
    "get",
    "has_artifact",
    "history",
    "list_models",
    "lists_of",
    "load",
    "next_version",
    "publish_artifact",
    "record",
    "register",
    "served_before",
]

HEADER = "model.json"
_log = get_logger(__name__)
SWITCHES = ("promote", "refresh", "rollback")
"""Actions of audit rows after which another model serves."""


@dataclass(frozen=True)
class RegisteredModel:
    """One trained version.

    Attributes
    ----------
    folder
        Where its artifact lies on this machine, once it is read.
    dataset
        The fingerprint it learned from.
    events
        How many interactions that dataset has, 0 where unknown.
    """

    id: int
    name: str
    version: str
    type: str
    algorithm: str
    folder: Path
    checksum: str
    dataset: str
    is_active: bool
    last_trained_at: datetime
    events: int
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Registration:
    """What a new row says.

    Attributes
    ----------
    parameters
        Everything that has no column of its own.
    accuracy, precision, recall
        Shares in 0..1; `parameters["metrics"]` describes each; None where no test was possible.
    """

    name: str
    version: int
    type: str
    algorithm: str
    checksum: str
    dataset: str
    parameters: Mapping[str, Any]
    accuracy: float | None
    precision: float | None
    recall: float | None
    events: int


def artifact_name(name: str) -> str:
    """The name in the store of artifacts of the model `name`."""
    return f"models/{name}"


def artifact_folder(name: str) -> Path:
    """Where the artifact of the model `name` lies on this machine."""
    return get_settings().var / "models" / name


def publish_artifact(name: str) -> None:
    """Make the artifact that this machine made readable for every host. Raises Unavailable."""
    artifact_store().publish(artifact_name(name), patient=True)


def has_artifact(registered: RegisteredModel) -> bool:
    """Whether the artifact is there: on this machine, or in the store. Raises Unavailable."""
    store = artifact_store()
    return (registered.folder / HEADER).is_file() or (
        store.is_shared and store.has(artifact_name(registered.name))
    )


def discard_artifact(name: str) -> None:
    """Remove the artifact that this machine made; where the store is away, from this machine alone."""
    try:
        artifact_store().withdraw(artifact_name(name), only_own=True)
    except Unavailable as error:
        _log.warning("an artifact without a row stays in the store", model=name, reason=error.message)
        shutil.rmtree(artifact_folder(name), ignore_errors=True)


def check_published(registered: RegisteredModel) -> None:
    """Read the artifact in the store, which every host fetches; nothing to do without a store beside var.

    Raises
    ------
    Unavailable
        When the store is away, or its artifact is missing, damaged or another one.
    """
    store = artifact_store()
    if not store.is_shared:
        return
    name = artifact_name(registered.name)
    try:
        # each file is compared with its checksum
        with store.some_files(name, lambda _: True) as folder:
            checksum = _checksum_of(folder)
    except (Invalid, NotFound) as error:
        raise Unavailable(f"{registered.name} cannot be served by every host: {error.message}") from error
    if checksum != registered.checksum:
        raise Unavailable(
            f"the artifact of {registered.name} in {store.address} is another one than was registered; "
            "publish it again from the machine that trained it (recsys artifacts publish --again), or train "
            "again"
        )


def next_version(session: Session, experiment: str) -> int:
    """One more than the highest version registered under `experiment` (1 for the first).

    Two callers get the same answer until one has registered: hold the training lock meanwhile.
    """
    pattern = rf"^{experiment}-v\d+$"
    versions = session.scalars(
        select(RecommendationModel.version).where(RecommendationModel.name.regexp_match(pattern))
    )
    return max((int(version) for version in versions if version.isdecimal()), default=0) + 1


def register(session: Session, registration: Registration) -> RegisteredModel:
    """Add the row, inactive. Raises Conflict when the name is taken; the transaction is then over."""
    moment = clock.now()
    row = RecommendationModel(
        name=registration.name,
        version=str(registration.version),
        type=registration.type,
        algorithm=registration.algorithm,
        parameters={
            **registration.parameters,
            "artifact": f"models/{registration.name}",
            "checksum": registration.checksum,
            "dataset": registration.dataset,
        },
        accuracy=None if registration.accuracy is None else _rate(registration.accuracy),
        precision_score=None if registration.precision is None else _rate(registration.precision),
        recall_score=None if registration.recall is None else _rate(registration.recall),
        is_active=False,
        training_data_size=registration.events,
        last_trained_at=moment,
        created_at=moment,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(
            f"a model named {registration.name} is registered already; versions are never overwritten, "
            "train again"
        ) from error
    return _registered(row)


def get(session: Session, name: str) -> RegisteredModel:
    """The model of that name. Raises NotFound, naming those there are."""
    return _registered(_row(session, name))


def active(session: Session) -> RegisteredModel | None:
    """The model that serves now, or None before the first promotion."""
    row = session.scalars(
        select(RecommendationModel)
        .where(RecommendationModel.is_active.is_(True))
        .order_by(RecommendationModel.id.desc())
    ).first()
    return None if row is None else _registered(row)


def list_models(session: Session) -> list[RegisteredModel]:
    """All models that this program registered, newest first."""
    rows = session.scalars(select(RecommendationModel).order_by(RecommendationModel.id.desc()))
    return [_registered(row) for row in rows if "artifact" in (row.parameters or {})]


def history(session: Session) -> list[ModelPromotion]:
    """Every promotion and hold, newest first."""
    return list(session.scalars(select(ModelPromotion).order_by(ModelPromotion.id.desc())))


def served_before(session: Session, name: str) -> str | None:
    """The model that served right before `name` last began to serve, if it is still registered."""
    before = session.scalar(
        select(ModelPromotion.from_name)
        .where(ModelPromotion.to_name == name, ModelPromotion.action.in_(SWITCHES))
        .order_by(ModelPromotion.id.desc())
        .limit(1)
    )
    known = select(RecommendationModel.name).where(RecommendationModel.name == before)
    return None if before is None else session.scalar(known)


def lists_of(session: Session) -> str | None:
    """The model whose stored lists are shown; None before the first scoring."""
    shown = generations.live(session)
    return None if shown is None else shown.model


def activate(
    session: Session,
    name: str,
    *,
    expected: str | None = None,
    action: str = "promote",
    actor: str = "system",
    reason: str = "",
    figures: Mapping[str, Any] | None = None,
    ends_test: bool = False,
) -> RegisteredModel:
    """Make `name` the one active model and leave an audit row, in the caller's transaction.

    Callers in other transactions wait for this one's end.

    Parameters
    ----------
    expected
        The model that must serve until now; None: any, or none.
    ends_test
        A/B tests that run end, in place of a refusal.

    Raises
    ------
    NotFound
        For an unknown name.
    Conflict
        When another model than `expected` serves by now, or while an A/B test runs that this is not to end.
    """
    locks.only_one_promotion(session)  # one activation after another, so that exactly one row is active
    row = _row(session, name)
    before = active(session)
    if expected is not None and (before is None or before.name != expected):
        serving = "no model" if before is None else before.name
        raise Conflict(
            f"{serving} serves by now, not {expected}; look at `recsys train history` and decide again"
        )
    ab_tests.check_promotion(session, name, ends=ends_test, actor=actor)
    session.execute(
        update(RecommendationModel)
        .where(RecommendationModel.is_active.is_(True) | (RecommendationModel.name == name))
        .values(is_active=RecommendationModel.name == name)
        .execution_options(synchronize_session=False)
    )
    session.refresh(row)
    record(
        session,
        action,
        from_name=None if before is None else before.name,
        to_name=name,
        actor=actor,
        reason=reason,
        figures=figures,
    )
    return _registered(row)


def record(
    session: Session,
    action: str,
    *,
    from_name: str | None,
    to_name: str | None,
    actor: str,
    reason: str,
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Leave an audit row: who decided what, when, and on which figures."""
    session.add(
        ModelPromotion(
            from_name=from_name,
            to_name=to_name,
            action=action,
            actor=actor,
            reason=reason,
            figures=dict(figures or {}),
            created_at=clock.now(),
        )
    )
    session.flush()


def annotate(session: Session, name: str, more: Mapping[str, Any]) -> None:
    """Add to the parameters of a registered model. Raises NotFound for an unknown name."""
    row = _row(session, name)
    row.parameters = {**(row.parameters or {}), **more}
    session.flush()


def load(registered: RegisteredModel) -> Recommender:
    """The fitted model, memory-mapped, every file checked.

    Raises
    ------
    Unavailable
        When the artifact is missing, damaged or another one; names the model and the file.
    """
    store, name = artifact_store(), artifact_name(registered.name)
    try:
        if not store.is_shared:
            return _loaded(registered)
        if _checksum_of(registered.folder) != registered.checksum:
            store.fetch(name)
        try:
            model = _loaded(registered)
        except (Invalid, NotFound):
            # the copy of this machine is damaged, or it went while it was read
            store.fetch_again(name)
            model = _loaded(registered)
        store.note_use(name)
        return model
    except (Invalid, NotFound) as error:
        raise Unavailable(
            f"the artifact of model {registered.name} in {registered.folder} cannot be used: "
            f"{error.message}. "
            "Restore the folder, promote another model (`recsys train promote NAME`) or train again"
        ) from error


def _loaded(registered: RegisteredModel) -> Recommender:
    from models import factory
    from models.registry.artifact import read_artifact

    header, _ = read_artifact(registered.folder, verify=False)
    if header["checksum"] != registered.checksum:
        raise Invalid(
            f"its checksum is {header['checksum'][:16]}…, registered was {registered.checksum[:16]}…"
        )
    return factory.load(registered.folder)


def _checksum_of(folder: Path) -> str | None:
    """What the header of an artifact says; None where there is none that can be read."""
    try:
        document = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        return str(document["checksum"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _row(session: Session, name: str) -> RecommendationModel:
    row = session.scalars(select(RecommendationModel).where(RecommendationModel.name == name)).one_or_none()
    if row is None:
        names = [model.name for model in list_models(session)]
        known = (
            f"registered: {', '.join(names[:20])}"
            if names
            else "none is registered yet; run `recsys train run --all`"
        )
        raise NotFound(f"no model is named {name!r}; {known}")
    return row


def _registered(row: RecommendationModel) -> RegisteredModel:
    parameters = dict(row.parameters or {})
    trained = row.last_trained_at or row.created_at
    return RegisteredModel(
        id=row.id,
        name=row.name,
        version=row.version,
        type=row.type or "",
        algorithm=row.algorithm or "",
        folder=get_settings().var / parameters.get("artifact", f"models/{row.name}"),
        checksum=str(parameters.get("checksum", "")),
        dataset=str(parameters.get("dataset", "")),
        is_active=bool(row.is_active),
        last_trained_at=trained if trained is not None else clock.now(),
        events=row.training_data_size or 0,
        parameters=parameters,
    )


def _rate(share: float) -> Decimal:
    return Decimal(f"{share:.4f}")
