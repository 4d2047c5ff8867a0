"""The data of a run as a section of the report: what was learned from, refused, and how far it moved."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.build.snapshots import load
from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import RecsysError
from recsys.settings import get_settings
from training.evaluation.splits import Split
from training.report import document as d
from training.report.sections import Drift, RefusedRows

__all__ = ["data_section", "drift_between", "drift_since_last", "refused_rows", "stability_index"]

Counts = npt.NDArray[np.float64]

GROUPS = 10
"""The catalogue of then falls into so many groups of equal share of the events."""
LEAST = 1e-4
"""A share of nothing counts as this much, so that the index stays finite."""


def data_section(
    dataset: Dataset,
    split: Split,
    drift: Drift | None = None,
    refused: list[RefusedRows] | None = None,
) -> d.DataSection:
    """Counts of the snapshot and of its split, what imports refused, and the drift."""
    events = dataset.events
    return d.DataSection(
        fingerprint=dataset.fingerprint,
        snapshot=dataset.snapshot,
        older_events=dataset.left_out,
        first=_moment(int(events.time[0])),
        last=_moment(int(events.time[-1])),
        cutoff=_moment(split.cutoff),
        test_days=(split.until - split.cutoff) / MICROSECONDS_PER_DAY,
        target=list(split.train.target.types),
        target_reason=split.train.target.reason,
        protocol=split.protocol,
        protocol_reason=split.why,
        problem=split.problem,
        hidden_items=int(np.count_nonzero(~dataset.item_features.active)),
        currency=get_settings().shop.currency,
        users=len(dataset.users),
        items=len(dataset.items),
        events=len(events),
        density=dataset.matrix.nnz / max(1, len(dataset.users) * len(dataset.items)),
        by_type=_by_type(dataset),
        train_users=len(split.train.users),
        train_items=len(split.train.items),
        train_events=len(split.train.events),
        test_events=split.events,
        test_users=split.users,
        cut=dataset.cut.as_json(),
        right_per_user={
            view: float(fold.sizes.mean()) if fold.sizes.size else 0.0 for view, fold in split.folds.items()
        },
        refused=refused or [],
        drift=drift,
    )


def _by_type(dataset: Dataset) -> dict[str, int]:
    counts = _types(dataset.events.kind)
    words = (*INTERACTION_TYPES, "other")
    return {word: int(n) for word, n in zip(words, counts, strict=True) if n}


def _types(kind: npt.NDArray[np.int8]) -> Counts:
    """Events by type, float64 (types + 1,); the last: of a type we do not know."""
    codes = np.where(kind < 0, len(INTERACTION_TYPES), kind)
    return np.bincount(codes, minlength=len(INTERACTION_TYPES) + 1).astype(np.float64)


def drift_since_last(dataset: Dataset) -> Drift | None:
    """Against the snapshot of the model that was trained last; None where none is registered yet."""
    with unit_of_work() as session:
        models = registry.list_models(session)
    if not models:
        return None
    last = max(models, key=lambda model: model.last_trained_at)
    settings = get_settings()
    snapshot: str = last.parameters.get("snapshot", last.dataset)
    if snapshot == dataset.snapshot:
        then: Dataset | None = dataset
    else:
        try:
            then = load(settings, snapshot, verify=False)
        except RecsysError:  # snapshots are kept for a while only, and formats change
            then = None
    return drift_between(then, dataset, last.name, snapshot, last.last_trained_at)


def drift_between(
    then: Dataset | None, now: Dataset, model: str, fingerprint: str, trained_at: datetime
) -> Drift:
    """How far `now` moved from `then`.

    Population stability index (Siddiqi 2006, "Credit risk scorecards", section 10): Σ (a − e) ln(a / e) over
    shares, 0 or more. Of popularity: e are ten groups of the products of then with about equal shares of the
    events, most popular first, and a group of products that had none; a is the same of the events that came
    after. Below 0.1 little has moved, above 0.25 much.

    Parameters
    ----------
    then
        The snapshot of the model that was trained last; None: it is gone.
    model, fingerprint, trained_at
        Of that model: its name, its snapshot's fingerprint, and when it was trained.

    Returns
    -------
    Drift
        Without indices where `then` has no event or none came after its last; without any figure where it is
        gone.
    """
    if then is None:
        return Drift(
            model=model,
            fingerprint=fingerprint,
            trained_at=trained_at,
            known=False,
            same=False,
            events={},
            new_events=None,
            new_users=None,
            new_items=None,
            popularity=None,
            types=None,
        )
    last = int(then.events.time[-1]) if len(then.events) else 0
    fresh = now.events.time > last
    before, after = _by_type(then), _by_type(now)
    popularity = types = None
    if fresh.any() and len(then.events):
        groups, expected = _popularity_groups(then)
        rows = then.items.index(now.items.ids)
        of_now = np.where(rows >= 0, groups[rows], GROUPS)
        found = np.bincount(of_now[now.events.item[fresh]], minlength=GROUPS + 1).astype(np.float64)
        popularity = stability_index(expected, found)
        types = stability_index(_types(then.events.kind), _types(now.events.kind[fresh]))
    return Drift(
        model=model,
        fingerprint=fingerprint,
        trained_at=trained_at,
        known=True,
        same=fingerprint == now.fingerprint,
        events={word: (before.get(word, 0), after.get(word, 0)) for word in before | after},
        new_events=int(np.count_nonzero(fresh)),
        new_users=_share_unknown(now.users.ids, then.users.index(now.users.ids)),
        new_items=_share_unknown(now.items.ids, then.items.index(now.items.ids)),
        popularity=popularity,
        types=types,
    )


def stability_index(expected: Counts, found: Counts) -> float:
    """Population stability index of two counts over the same groups, float64 (groups,); 0: equal shares."""
    counted = (expected > 0) | (found > 0)
    e = np.maximum(expected[counted] / expected.sum(), LEAST)
    a = np.maximum(found[counted] / found.sum(), LEAST)
    return float(((a - e) * np.log(a / e)).sum())


def _popularity_groups(then: Dataset) -> tuple[npt.NDArray[np.int64], Counts]:
    """Group of each item of then, int64 (items,), and the events of each group, float64 (GROUPS + 1,)."""
    counts = np.bincount(then.events.item, minlength=len(then.items)).astype(np.float64)
    order = np.argsort(-counts, kind="stable")
    passed = np.cumsum(counts[order]) - counts[order]  # events of all that are more popular
    groups = np.empty(counts.size, dtype=np.int64)
    groups[order] = np.minimum(passed * GROUPS // counts.sum(), GROUPS - 1)
    groups[counts == 0] = GROUPS
    return groups, np.bincount(groups, weights=counts, minlength=GROUPS + 1).astype(np.float64)


def _share_unknown(ids: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> float | None:
    return float((rows < 0).mean()) if ids.size else None


def refused_rows(folder: Path) -> list[RefusedRows]:
    """Rows by file and reason of the latest import that refused any: `*-refused.csv` in the folder."""
    files = sorted(folder.glob("*-refused.csv"))
    if not files:
        return []
    stamp = files[-1].name.removesuffix("-refused.csv")
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:  # the file was named by hand
        at = datetime.fromtimestamp(files[-1].stat().st_mtime, UTC)
    try:
        counts = (
            pl.scan_csv(files[-1], infer_schema=False)
            .select(pl.col("file", "reason").fill_null(""))
            .group_by("file", "reason")
            .len("rows")
            .sort("rows", "file", "reason", descending=[True, False, False])
            .collect()
        )
    except pl.exceptions.PolarsError:  # torn or edited by hand: a run of models is not lost for it
        return [
            RefusedRows(at=at, file=files[-1].name, reason="this file of refused rows can't be read", rows=0)
        ]
    return [RefusedRows(at=at, **row) for row in counts.iter_rows(named=True)]


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
