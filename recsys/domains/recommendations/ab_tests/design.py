"""The design of an experiment: its arms, their shares and what each changes; fixed while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsys.domains.recommendations.rules.types import RULE_SET_PATTERN, SHELF_NAMES
from recsys.errors import Invalid

__all__ = [
    "CONTROL",
    "COUNTED",
    "METRICS",
    "ArmDesign",
    "ArmGuardrail",
    "ExperimentDesign",
    "ExperimentKind",
    "InterleavingCredit",
    "Metric",
    "ServiceLimits",
    "Variant",
    "arms_of",
    "interleaved_arms",
    "model_against_control",
]

COUNTED = ("clicked", "carted", "bought")
"""Metrics of single products, by which interleaved lists are compared."""
Metric = Literal["clicked", "carted", "bought", "revenue", "spent"]
METRICS: tuple[Metric, ...] = ("clicked", "carted", "bought", "revenue", "spent")
"""What an experiment can be decided by; `training.online.ab_results` says what each means."""
ExperimentKind = Literal["arms", "interleaved"]
"""Whether each visitor gets the lists of one arm, or lists of the products of both."""
InterleavingCredit = Literal["optimised", "team_draft"]
"""What a success in an interleaved list counts; `models.ranking.interleaving` says what each means."""
CONTROL = "control"
"""The name of the first arm, by convention."""
MODEL_PLACEMENTS = ("for_you", "similar", "bought_together", "because_you_viewed")
"""Placements that the serving model ranks."""
PlacementName = Literal[
    "for_you", "similar", "bought_together", "buy_again", "popular", "trending", "new_arrivals",
    "because_you_viewed",
]  # fmt: skip


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Frozen):
    """What an arm changes of a request; the defaults change nothing."""

    model: Annotated[
        str | None, Field(max_length=100, description="A registered model; null: the serving one.")
    ] = None
    rules: Annotated[bool, Field(description="Whether business rules apply.")] = True
    rule_set: Annotated[
        str | None,
        Field(
            pattern=RULE_SET_PATTERN,
            description="The business rules of this set apply beside those for everybody; null: no set.",
            examples=["winter"],
        ),
    ] = None
    diversity: Annotated[
        float | None, Field(ge=0, le=1, description="In the place of the request's; null: as requested.")
    ] = None
    novelty: Annotated[
        Literal["any", "new"] | None, Field(description="In the place of the request's; null: as requested.")
    ] = None
    live: Annotated[
        bool, Field(description="Rank when a list is requested, also where a stored list is ready.")
    ] = False

    @property
    def changes_model_only(self) -> bool:
        """Whether nothing but the model, and when it ranks, is other than in the request."""
        return self.rules and self.rule_set is None and self.diversity is None and self.novelty is None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rule_set is not None and not self.rules:
            raise ValueError(
                f"an arm without business rules has none of the set {self.rule_set}: give one of the two"
            )
        return self

    def __str__(self) -> str:
        parts = [] if self.model is None else [self.model]
        parts += [] if self.rules else ["no business rules"]
        parts += [] if self.rule_set is None else [f"rules of {self.rule_set}"]
        parts += [] if self.diversity is None else [f"diversity {self.diversity:g}"]
        parts += [] if self.novelty is None else [f"novelty {self.novelty}"]
        parts += ["ranked live"] if self.live else []
        return ", ".join(parts) or "as it is"


class ArmDesign(_Frozen):
    """One arm: its name, its share of the visitors, and what it changes."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$", examples=["challenger"])]
    share: Annotated[float, Field(gt=0, lt=1, examples=[0.5])]
    variant: Variant = Variant()

    @model_validator(mode="after")
    def _has_a_free_name(self) -> Self:
        if self.name == "fallback":
            raise ValueError(
                "no arm can be named fallback: lists that another arm's model made are called so"
            )
        return self


class ArmGuardrail(_Frozen):
    """A metric in which no arm may lose more than `largest_drop` of the control's mean, else it stops."""

    metric: Metric
    largest_drop: Annotated[float, Field(ge=0, lt=1, examples=[0.1])]


class ServiceLimits(_Frozen):
    """What visitors of an arm may notice of its service, else the experiment stops; null for no limit."""

    late_share: Annotated[
        float | None, Field(gt=0, lt=1, description="Share of lists that miss the deadline.", examples=[0.01])
    ] = None
    p99_ms: Annotated[
        float | None,
        Field(gt=0, le=60_000, description="99th percentile of the time of a list, in ms.", examples=[250.0]),
    ] = None
    fallback_share: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share of lists that another model had to make.", examples=[0.05]),
    ] = None


class ExperimentDesign(_Frozen):
    """Everything that is decided before an experiment starts.

    `kind` is `arms`, where each visitor has the lists of one arm, or `interleaved`, where each list has
    products of both of two arms, which are compared by what visitors choose from it. There are two to eight
    `arms`, of which the first is the control; their shares add up to 1, and are a half each where
    interleaved. `unit` says who stays in one arm: a user on all devices (a guest by session until the
    log-in), or a session, before and after its log-in. `placements` are where the arms differ; without any,
    these are the placements that a variant concerns.

    `days` is the planned duration. Of a visitor, the `outcome_days` since the first list count.
    `planned_units` is the number of users or sessions that the plan expects; intervals are narrowest there.
    `limits` are for late, slow and failed lists in the last hour. Of interleaved lists, `credit` says what a
    success counts, and `traffic` is the share of the visitors who get them.
    """

    kind: ExperimentKind = "arms"

    arms: Annotated[
        tuple[ArmDesign, ...],
        Field(
            min_length=2,
            max_length=8,
            examples=[
                [
                    {"name": "control", "share": 0.5},
                    {"name": "challenger", "share": 0.5, "variant": {"model": "als-v4"}},
                ]
            ],
        ),
    ]
    metric: Metric = "bought"
    unit: Literal["user", "session"] = "user"
    placements: tuple[PlacementName, ...] = ()
    days: Annotated[float, Field(gt=0)] = 28.0
    outcome_days: Annotated[float, Field(gt=0)] = 7.0
    planned_units: Annotated[int, Field(ge=100)] = 10_000
    guardrails: tuple[ArmGuardrail, ...] = ()
    limits: ServiceLimits | None = None
    credit: InterleavingCredit = "optimised"
    traffic: Annotated[
        float, Field(gt=0, le=1, description="Share of the visitors whose lists are interleaved.")
    ] = 1.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"two arms have the same name: {', '.join(names)}")
        if abs(sum(arm.share for arm in self.arms) - 1) > 1e-6:
            shares = ", ".join(f"{arm.name} {arm.share:g}" for arm in self.arms)
            raise ValueError(f"the shares of the arms are {shares}: expected 1 as their sum")
        if self.arms[0].variant.model is not None or not self.arms[0].variant.changes_model_only:
            raise ValueError(f"the first arm, {names[0]}, is the control and changes nothing")
        if self.outcome_days > self.days:
            raise ValueError(
                f"outcome_days {self.outcome_days:g}: expected at most the planned {self.days:g} days, else "
                "no visitor counts before the end"
            )
        money = {self.metric, *(each.metric for each in self.guardrails)} & {"revenue", "spent"}
        if self.unit == "session" and money:
            raise ValueError(
                f"{', '.join(sorted(money))}: money is known of users only, and the unit is session"
            )
        if self.kind == "interleaved":
            self._check_interleaved()
        elif self.traffic < 1:
            raise ValueError(
                "traffic: it is the share of visitors with interleaved lists; in an experiment with arms "
                "give the control a larger share"
            )
        return self

    def _check_interleaved(self) -> None:
        if len(self.arms) != 2 or abs(self.arms[0].share - 0.5) > 1e-6:
            raise ValueError(
                "an interleaved experiment has two arms with a share of 0.5 each: both have a part of each "
                "list. `traffic` says for which share of the visitors"
            )
        if self.metric not in COUNTED:
            raise ValueError(
                f"metric {self.metric}: no visitor of interleaved lists has an arm of their own, so money "
                f"per user is not compared; expected {', '.join(COUNTED)}"
            )
        if self.guardrails:
            raise ValueError(
                "guardrails compare the visitors of two arms, and interleaved lists are for the same visitors"
            )
        if self.arms[1].variant == Variant():
            raise ValueError(f"the arm {self.arms[1].name} changes nothing: name its model, for example")

    @classmethod
    def of(cls, **fields: object) -> ExperimentDesign:
        """A design of these fields. Raises Invalid with what is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = str(first["msg"]).removeprefix("Value error, ")
            raise Invalid(f"the design is not valid: {place + ': ' if place else ''}{message}") from error

    @property
    def control(self) -> ArmDesign:
        """The first arm."""
        return self.arms[0]

    @property
    def treatments(self) -> tuple[ArmDesign, ...]:
        """All arms but the control."""
        return self.arms[1:]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each arm by name, the control first."""
        return {arm.name: arm.share for arm in self.arms}

    @property
    def models(self) -> tuple[str, ...]:
        """The registered models of its arms, each once."""
        return tuple(dict.fromkeys(arm.variant.model for arm in self.arms if arm.variant.model is not None))

    @property
    def rule_sets(self) -> tuple[str, ...]:
        """The sets of rules that its arms name, each once."""
        names = (arm.variant.rule_set for arm in self.arms)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def concerns(self, placement: str) -> bool:
        """Whether lists of this placement are part of the experiment."""
        if self.placements:
            return placement in self.placements
        only_models = all(arm.variant.changes_model_only for arm in self.arms)
        return placement in MODEL_PLACEMENTS or not only_models

    @property
    def tested_placements(self) -> tuple[str, ...]:
        """The placements whose lists are part of the experiment."""
        return tuple(name for name in SHELF_NAMES if self.concerns(name))

    def arm(self, name: str) -> ArmDesign | None:
        """The arm of that name."""
        return next((arm for arm in self.arms if arm.name == name), None)


def model_against_control(
    challenger: str, share: float, *, live_control: bool = False
) -> tuple[ArmDesign, ArmDesign]:
    """The two arms of a model against the serving one. Raises Invalid for a share outside of 0 to 1."""
    if not 0 < share < 1:
        raise Invalid(
            f"--share {share:g}: expected the part of the visitors who get the challenger, "
            "above 0 and below 1"
        )
    return (
        ArmDesign(name=CONTROL, share=1 - share, variant=Variant(live=live_control)),
        ArmDesign(name="challenger", share=share, variant=Variant(model=challenger, live=live_control)),
    )


def interleaved_arms(variant: Variant) -> tuple[ArmDesign, ArmDesign]:
    """The two arms of an interleaved experiment of a variant against what visitors have now."""
    return (
        ArmDesign(name=CONTROL, share=0.5),
        ArmDesign(name="challenger", share=0.5, variant=variant),
    )


def arms_of(texts: Sequence[str]) -> tuple[ArmDesign, ...]:
    """Arms from texts such as `als:0.2:model=als-v4,diversity=0.3`; the control gets the rest.

    Raises
    ------
    Invalid
        A text names no arm.
    """
    treatments = [_arm(each) for each in texts]
    rest = 1 - sum(arm.share for arm in treatments)
    if not 0 < rest < 1:
        raise Invalid(f"the shares leave {rest:g} of the visitors for the control: expected more than 0")
    return (ArmDesign(name=CONTROL, share=rest), *treatments)


def _arm(written: str) -> ArmDesign:
    name, _, rest = written.partition(":")
    share, _, settings = rest.partition(":")
    try:
        variant: dict[str, object] = {}
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals:
                raise ValueError(f"{setting!r} has no =")
            variant[key.strip()] = value.strip()
        return ArmDesign.model_validate({"name": name, "share": share, "variant": variant})
    except ValueError as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise Invalid(
            f"--arm {written!r}: {str(detail).removeprefix('Value error, ')}; expected NAME:SHARE:SETTINGS "
            "such as als:0.2:model=als-v4,rules=off,diversity=0.3,novelty=new,live=on or "
            "winter:0.5:rule_set=winter"
        ) from error
