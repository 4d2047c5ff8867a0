"""Which rule is chosen: what has to lead beyond chance, and what only has to lead."""

from __future__ import annotations

import numpy as np
import pytest

from models.hybrid import strategy_selection
from models.hybrid.blend import Blend
from models.hybrid.candidate_generation import CandidatePairs
from models.hybrid.ranking_features import FeatureSnapshot
from models.hybrid.strategy_selection import Choice, Examples, choose
from tests.models.data import dataset

USERS, CANDIDATES = 200, 6
NAMES = ("usual", "good", "weak")


@pytest.fixture
def examples() -> Examples:
    """`good` puts the right product first, `usual` mostly, `weak` anywhere."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(USERS), CANDIDATES)
    item = np.tile(np.arange(CANDIDATES), USERS)
    relevant = item == rng.integers(0, CANDIDATES, USERS)[owner]
    raw = rng.random((owner.size, 3)).astype(np.float32)
    raw[relevant, 0] += 0.4
    raw[relevant, 1] += 0.9
    scale = np.ones((USERS, 3, 2), dtype=np.float32)
    candidates = CandidatePairs(USERS, owner, item, raw, raw, np.zeros_like(raw), scale, CANDIDATES)
    facts = FeatureSnapshot.learn(dataset([(0, 0, "purchase", 1.0)], users=USERS, items=CANDIDATES), 14.0)
    users = np.arange(1, USERS + 1)
    return Examples(users, candidates, relevant, np.ones(USERS, dtype=np.int64), facts, facts.habits)


def chosen(
    examples: Examples, monkeypatch: pytest.MonkeyPatch, leader: str, lead: float, member: str = "good"
) -> Choice:
    """The choice where the blend's mean lead over `member` is `lead`, far within chance."""
    own = examples.ndcg(examples.candidates.raw[:, NAMES.index(member)], 5)
    noise = np.random.default_rng(1).normal(0.0, 1.0, USERS)
    blend = own + noise - noise.mean() + lead
    monkeypatch.setattr(strategy_selection, "_cross_fitted", lambda *_: blend)
    return choose(NAMES, leader, [examples], k=5, trees=0, seed=0)


@pytest.mark.parametrize(("lead", "kind"), [(0.01, "blend"), (-0.01, "single")])
def test_a_member_that_was_chosen_here_yields_to_a_blend_that_leads(
    examples: Examples, monkeypatch: pytest.MonkeyPatch, lead: float, kind: str
) -> None:
    choice = chosen(examples, monkeypatch, "usual", lead)
    assert choice.reason.startswith("blend:" if kind == "blend" else "good:")
    assert choice.stage.kind == kind
    assert set(choice.figures) == {*NAMES, "blend"}


def test_the_usual_leader_yields_to_a_lead_beyond_chance_alone(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(examples, monkeypatch, "good", 0.01).stage.members == ("good",)
    assert chosen(examples, monkeypatch, "good", 0.5).stage.kind == "blend"


def test_a_blend_has_no_member_without_weight(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"usual": 0.3, "good": 0.7, "weak": 0.0}
    monkeypatch.setattr(strategy_selection, "_blend", lambda *_: Blend(weights))
    stage = chosen(examples, monkeypatch, "usual", 0.01).stage
    assert (stage.kind, stage.members, stage.weights) == ("blend", ("usual", "good"), (0.3, 0.7))
    only = examples.only([0, 1])
    expected = np.maximum(only.candidates.scaled, 0) @ np.array([0.3, 0.7], dtype=np.float32)
    assert np.array_equal(stage.score(only.candidates, only.facts, only.habits), expected)
