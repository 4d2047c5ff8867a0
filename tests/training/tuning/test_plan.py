"""`[tune]`: what may be written there, and how an experiment is written back to a file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.errors import Invalid
from training.experiment import Experiment, load
from training.tuning.files import experiment_toml
from training.tuning.plan import Dimension, TunePlan

BASE = 'name = "als"\nalgorithm = "als"\n'


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[tune]\ntrials = 3\n", "the key 'tune.space' is missing"),
        ("[tune]\ntrials = 0\n[tune.space.alpha]\nlow = 1\nhigh = 2\n", "tune.trials"),
        ("[tune.space.alpha]\nlow = 1\n", "low and high go together"),
        ("[tune.space.alpha]\nlow = 2\nhigh = 1\n", "low (2) must be below high (1)"),
        ("[tune.space.alpha]\nlow = 0\nhigh = 1\nlog = true\n", "log needs a low above zero"),
        ("[tune.space.alpha]\nchoices = [1]\n", "tune.space.alpha.choices"),
        ("[tune.space.alpha]\nchoices = [1, 1]\n", "choices must differ"),
        ("[tune.space.alpha]\nchoices = [1, 2]\nlow = 1\nhigh = 3\n", "either choices, or low and high"),
        ("[tune.space.alpha]\nlow = 1\nhigh = 9\nstep = 0.5\n", "step between whole numbers"),
        ("[tune.space.alpha]\nlow = 1\nhihg = 9\n", "did you mean 'high'?"),
        ("[tune]\nminuts = 9\n[tune.space.alpha]\nlow = 1\nhigh = 9\n", "did you mean 'minutes'?"),
    ],
)
def test_a_wrong_section_is_named(tmp_path: Path, section: str, message: str) -> None:
    file = tmp_path / "als.toml"
    file.write_text(BASE + section)
    with pytest.raises(Invalid) as caught:
        load(str(file))
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_dimension_knows_what_it_holds() -> None:
    whole = Dimension(low=2, high=10, step=4)
    assert [value for value in range(12) if whole.holds(value)] == [2, 6, 10]
    assert not whole.holds(2.0)
    assert not whole.holds(True)
    real = Dimension(low=0.0, high=1.0, step=0.25)
    assert real.holds(0.75)
    assert not real.holds(0.3)
    some = Dimension(choices=(1, "a", True))
    assert some.holds(1)
    assert some.holds(True)
    assert not some.holds(1.0)


def test_another_space_is_another_search_and_another_budget_is_not() -> None:
    one = TunePlan(space={"alpha": Dimension(low=1, high=2)})
    assert one.key() == one.model_copy(update={"trials": 99, "minutes": 1.0}).key()
    assert one.key() != TunePlan(space={"alpha": Dimension(low=1, high=3)}).key()
    assert one.key() != one.model_copy(update={"folds": 3}).key()
    assert one.key(k=10) != one.key(k=20)
    with pytest.raises(ValidationError):
        TunePlan(space={})


values = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab c"é', min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda k: k != "seed"), values)
)
def test_what_is_written_reads_the_same(parameters: dict[str, object]) -> None:
    experiment = Experiment(name="mine", algorithm="als", description='a "b" \\ \t é', parameters=parameters)
    text = experiment_toml(experiment, "found\nby a search")
    assert text.startswith("# found\n# by a search\n")
    assert Experiment.model_validate(tomllib.loads(text)) == experiment
