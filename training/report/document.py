"""The report as data: the JSON twin that the page is drawn from, described by a JSON schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from training.report.item_section import ItemListSection
from training.report.search_section import SearchSection
from training.report.sections import (
    Drift,
    ExposureCurve,
    Guardrail,
    HybridSection,
    Measure,
    PairedComparison,
    Part,
    RefusedRows,
    Reliability,
    SegmentSection,
    ViewName,
)

__all__ = [
    "Cost",
    "DataSection",
    "EvaluationReport",
    "ExampleList",
    "ExamplePlace",
    "ExampleUserPart",
    "Figure",
    "ModelComparison",
    "ModelSection",
    "ReportVerdict",
    "Reproduction",
    "ViewName",
    "ViewSection",
]

FORMAT = 3
"""2 and 3 added what has a default here; documents of format 1 and 2 can still be read."""


class Figure(Part):
    """A mean over users with its bootstrap interval."""

    k: int
    """List length."""
    value: float
    low: float
    """Lower end of the 95% percentile bootstrap interval over users."""
    high: float
    """Upper end of the same interval."""


class ViewSection(Part):
    """One model in one view."""

    users: int
    """Test users judged in this view."""
    metrics: dict[str, list[Figure]]
    """ndcg, precision, recall, hit_rate, map, mrr; each at every k."""
    coverage: list[float]
    """Share of the catalogue that was shown to anybody, at every k in the order of `EvaluationReport.ks`."""
    empty_share: float
    """Share of users who got no product at all."""
    beyond: dict[str, list[Measure]] = Field(default_factory=dict)
    """What is beyond accuracy (novelty, diversity, revenue, Gini and more), each at every k."""
    unknown: dict[str, str] = Field(default_factory=dict)
    """Metrics that could not be computed, and why."""
    segments: list[SegmentSection] = Field(default_factory=list)
    exposure: ExposureCurve | None = None
    reliability: Reliability | None = None
    """Whether calibrated scores mean what they say; null where too few users can show it. New in format 3."""


class Cost(Part):
    """What the model takes on the machine of this run."""

    fit_seconds: float
    """Fitting on the data before the cutoff."""
    refit_seconds: float
    """Fitting on all data and writing the artifact."""
    judge_seconds: float
    """Ranking the whole catalogue for every test user in both views."""
    peak_mib: float
    """Most resident memory of the whole process while this model was fitted and judged, in MiB."""
    artifact_mib: float
    """Size of the artifact on disk, in MiB."""


class ExamplePlace(Part):
    """One place of an example list."""

    product: int
    sku: str | None = None
    """The shop's own id of the product."""
    name: str
    hit: bool
    """Whether the user took it up in the test period."""
    reason: str
    """What in the user's history speaks for it, in words."""


class ExampleList(Part):
    """What one model would have shown one user in one view."""

    view: ViewName
    places: list[ExamplePlace]


class ModelSection(Part):
    """One trained version."""

    name: str
    version: int
    experiment: str
    algorithm: str
    kind: str
    seed: int
    parameters: dict[str, Any]
    """All hyper-parameters, defaults included."""
    chosen_parameters: dict[str, float] = Field(default_factory=dict)
    """Of those that leave a choice to the data, such as `alpha` 0, what the judged fit chose."""
    checksum: str
    """SHA-256 of the artifact."""
    views: dict[ViewName, ViewSection]
    cost: Cost
    examples: dict[int, list[ExampleList]]
    """Example lists by user id."""
    reliability: Reliability | None = None
    """Of both views together, as documents of format 2 have it; those of format 3 have it in each view."""
    hybrid: HybridSection | None = None
    """None for every other algorithm."""
    guests: SegmentSection | None = None
    """Sessions of guests in the test period; None where the test period has none."""


class PastTraining(Part):
    """An earlier version of an experiment: its primary metric on the test period of its own time."""

    name: str
    experiment: str
    trained_at: datetime
    figure: Figure


class ModelComparison(PairedComparison):
    """Two models on the same users at the primary k: mean of a − b, paired."""

    view: ViewName


class ReportVerdict(Part):
    """The first screen: who won, by how much, and what was done about it."""

    metric: str
    k: int
    view: ViewName
    winner: str
    figure: Figure
    over_next: ModelComparison | None
    """The winner against the second; None when it ran alone."""
    over_popularity: ModelComparison | None
    """The winner against popularity; None when it won itself or did not run."""
    action: Literal["promote", "refresh", "hold"]
    promoted: str | None
    champion: str | None
    """The model that served before this run."""
    champion_figure: Figure | None
    """The champion on the same test, where it could be judged."""
    against_champion: ModelComparison | None
    margin: float
    significance: float
    reason: str
    guardrails: list[Guardrail] = Field(default_factory=list)
    """Figures that the promotion may not break."""


class DataSection(Part):
    """The data that was learned from and tested on."""

    fingerprint: str
    """SHA-256 of what was learned from and tested on: the snapshot, or its newest interactions."""
    snapshot: str = ""
    """SHA-256 of the snapshot; empty in documents of former versions."""
    older_events: int = 0
    """Interactions of the snapshot that were left out, older than all others."""
    first: datetime
    last: datetime
    cutoff: datetime
    """Models saw nothing later than this."""
    test_days: float
    """Length of the test period; 0 where no test was possible."""
    users: int
    items: int
    events: int
    density: float
    """Share of all (user, item) pairs with a positive weight."""
    by_type: dict[str, int]
    """Events by interaction type."""
    train_users: int
    train_items: int
    train_events: int
    test_events: dict[str, int]
    """Events after the cutoff: total, kept, and dropped by reason."""
    test_users: dict[str, int]
    """Users after the cutoff: total, kept, kept in the view `new`, and dropped by reason."""
    right_per_user: dict[ViewName, float]
    """Mean number of right products per judged user."""
    cut: dict[str, int] = Field(default_factory=dict)
    """Events left out as too many to be a taste, by reason."""
    refused: list[RefusedRows] = Field(default_factory=list)
    """Rows that imports refused, of the latest import that refused any."""
    drift: Drift | None = None
    """None for the first training."""
    target: list[str] = Field(default_factory=list)
    """Interaction types that count as a success, the strongest first."""
    target_reason: str = ""
    protocol: Literal["window", "next"] = "window"
    """Whether users are asked for all successes of the test period, or for their next one."""
    protocol_reason: str = ""
    problem: str = ""
    """Why no test was possible; empty where there was one."""
    hidden_items: int = 0
    """Products that can't be shown: in no list, and right for nobody."""
    currency: str = ""
    """Of all figures of money (ISO 4217)."""


class Reproduction(Part):
    """What it takes to get the same figures again."""

    command: str
    seed: int
    draws: int
    """Resamples of each interval and test."""
    fingerprint: str
    commit: str | None
    versions: dict[str, str]
    platform: str = ""
    """Operating system and processor: sums in another order may move the last digits."""


class ExampleUserPart(Part):
    """A test user, chosen by the past alone."""

    user: int
    username: str | None = None
    """The shop's own id of the user."""
    why: str
    events: int
    recent: list[str]
    """Names of the latest products before the cutoff, newest first."""
    right: dict[ViewName, int]
    """Number of right products per view."""


class EvaluationReport(Part):
    """Everything the page shows."""

    format: int = FORMAT
    run: str
    created_at: datetime
    ks: list[int]
    verdict: ReportVerdict
    models: list[ModelSection]
    """Best first, by the primary metric."""
    comparisons: list[ModelComparison]
    """In each view the best model against each of the others."""
    data: DataSection
    examples: list[ExampleUserPart]
    reproduction: Reproduction
    history: list[PastTraining] = Field(default_factory=list)
    """Earlier versions of these experiments by the same metric, view and length, the oldest first."""
    search: list[SearchSection] = Field(default_factory=list)
    """What `recsys train search-quality` measured, one for each model; empty where it was not."""

    item_lists: list[ItemListSection] = Field(default_factory=list)
    """Lists that start from a product, one section per question; empty where no such model was trained."""

    def model(self, name: str) -> ModelSection:
        """The section of one model. Raises KeyError for a name that did not run."""
        for section in self.models:
            if section.name == name:
                return section
        raise KeyError(name)
