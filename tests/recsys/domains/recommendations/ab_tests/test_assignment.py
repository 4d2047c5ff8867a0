"""Who is in which arm."""

from __future__ import annotations

import math
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of, draw, interleaves, unit_of
from recsys.domains.recommendations.ab_tests.design import (
    ArmDesign,
    ExperimentDesign,
    Variant,
    interleaved_arms,
    model_against_control,
)

few = settings(max_examples=20)
salts = st.text(min_size=1, max_size=64)


@st.composite
def shares(draw_from: st.DrawFn) -> list[float]:
    weights = draw_from(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=8))
    return [weight / sum(weights) for weight in weights]


def running_with(of_arms: list[float], salt: str = "s") -> Running:
    arms = [ArmDesign(name=f"arm-{number}", share=share) for number, share in enumerate(of_arms)]
    return Running(1, "t", "a", salt, ExperimentDesign.of(arms=arms))


@few
@given(salts, st.integers(0, 2**31 - 5_000), shares())
def test_each_arm_gets_its_share(salt: str, first: int, of_arms: list[float]) -> None:
    users, test = 4_000, running_with(of_arms, salt)
    names = [arm_of(test, f"user:{user}").name for user in range(first, first + users)]
    for number, share in enumerate(of_arms):
        # six standard errors: one false alarm in 500 million examples
        bound = 6 * math.sqrt(users * share * (1 - share))
        assert abs(names.count(f"arm-{number}") - users * share) <= bound


def test_two_arms_are_divided_as_the_version_before_divides_them() -> None:
    test = Running(1, "t", "a", "salt", ExperimentDesign.of(arms=model_against_control("b", 0.3)))
    for user in range(500):
        is_challenger = draw("salt", f"user:{user}") < 0.3
        assert (arm_of(test, f"user:{user}").name == "challenger") is is_challenger


@few
@given(salts, st.integers(0, 2**31 - 10_000))
def test_draws_are_even_over_their_whole_range(salt: str, first: int) -> None:
    draws, parts = 5_000, 20
    counts = [0] * parts
    for user in range(first, first + draws):
        counts[int(draw(salt, f"user:{user}") * parts)] += 1
    chi_square = sum((count - draws / parts) ** 2 / (draws / parts) for count in counts)
    assert chi_square < 77  # 19 degrees of freedom: p < 1e-8


@few
@given(salts, salts, st.sampled_from(["user", "session"]))
def test_two_tests_share_out_their_visitors_independently(one: str, other: str, kind: str) -> None:
    if one == other:
        return
    users, cells = 4_000, [0, 0, 0, 0]
    for user in range(users):
        unit = f"{kind}:{user}"
        cells[2 * (draw(one, unit) < 0.5) + (draw(other, unit) < 0.5)] += 1
    chi_square = sum((cell - users / 4) ** 2 / (users / 4) for cell in cells)
    assert chi_square < 41  # 3 degrees of freedom: p < 1e-8


def test_every_process_and_every_version_of_this_program_draws_the_same() -> None:
    # any other number would shuffle the visitors of a test that runs
    assert draw("s", "user:7") == 0.2405475628041888
    assert draw("s", "user:8") == pytest.approx(
        int.from_bytes(blake2b(b"s\0user:8", digest_size=8).digest()) / 2**64
    )


def test_a_user_is_the_same_on_every_device_and_a_guest_is_the_session() -> None:
    assert unit_of(7, None) == unit_of(7, "phone") == "user:7"
    assert unit_of(None, "phone") == "session:phone"
    assert unit_of(None, None) is None
    # by session the log-in changes no arm, and a user without a session is the user
    assert unit_of(7, "phone", by_session=True) == unit_of(None, "phone", by_session=True) == "session:phone"
    assert unit_of(7, None, by_session=True) == "user:7"
    assert 0 <= draw("s", "session:\ud800") < 1, "whatever a program calls its sessions"


def test_interleaved_lists_are_for_their_share_of_the_visitors_whatever_else_runs() -> None:
    arms = interleaved_arms(Variant(model="knn-v1"))
    for traffic in (0.25, 1.0):
        design = ExperimentDesign.of(kind="interleaved", arms=arms, metric="clicked", traffic=traffic)
        test = Running(1, "t", "a", "salt", design)
        mixed = sum(interleaves(test, f"user:{user}") for user in range(4_000))
        assert abs(mixed - 4_000 * traffic) <= 6 * math.sqrt(4_000 * traffic * (1 - traffic))
    arms_only = Running(1, "t", "a", "salt", ExperimentDesign.of(arms=model_against_control("b", 0.3)))
    assert not any(interleaves(arms_only, f"user:{user}") for user in range(100))
