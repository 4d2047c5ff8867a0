"""Who is in which arm of an experiment.

A visitor's arm is a matter of arithmetic: a hash of the test's salt and of who they are, the same in every
process, on every machine and as long as the test runs (Kohavi, Tang & Xu 2020, "Trustworthy Online Controlled
Experiments", section 4, "variant assignment"). Nothing is stored for it. Each test has a salt of its own, so
that a visitor's arm of one test says nothing about the visitor's arm of the next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from recsys.domains.recommendations.ab_tests.design import ArmDesign, ExperimentDesign

__all__ = [
    "FALLBACK",
    "INTERLEAVED",
    "Running",
    "arm_of",
    "draw",
    "fallback_label",
    "interleaves",
    "label",
    "unit_of",
]

FALLBACK = "fallback"
"""Marks lists that were meant for an arm, and made by the serving model all the same."""
INTERLEAVED = "interleaved"
"""In the place of an arm, marks lists of both arms."""


@dataclass(frozen=True)
class Running:
    """A test that runs, as servers see it.

    Attributes
    ----------
    control
        The model that served when it began.
    salt
        What visitors are hashed with, of this test alone.
    """

    id: int
    name: str
    control: str
    salt: str
    design: ExperimentDesign


def unit_of(user: int | None, session: str | None, *, by_session: bool = False) -> str | None:
    """Who is assigned to an arm.

    Parameters
    ----------
    by_session
        The session first, so that a log-in changes no arm.

    Returns
    -------
    str or None
        The user, else the guest's session, such as `user:7`; None for anybody.
    """
    if session is not None and (by_session or user is None):
        return f"session:{session}"
    return None if user is None else f"user:{user}"


def draw(salt: str, unit: str) -> float:
    """A number from 0 to 1 that looks drawn evenly and is always the same: BLAKE2b of salt and unit.

    Parameters
    ----------
    salt
        Of the test.
    unit
        The visitor, as `unit_of` names them.
    """
    text = f"{salt}\0{unit}".encode(errors="backslashreplace")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def arm_of(test: Running, unit: str) -> ArmDesign:
    """The arm of a visitor: each has its share of all there could be, the control what the others leave."""
    number, below = draw(test.salt, unit), 0.0
    for arm in test.design.treatments:
        below += arm.share
        if number < below:
            return arm
    return test.design.control


def interleaves(test: Running, unit: str) -> bool:
    """Whether the visitor gets lists of both arms."""
    return test.design.kind == "interleaved" and draw(test.salt, f"traffic:{unit}") < test.design.traffic


def label(name: str, arm: str) -> str:
    """What answers and exposures call the arm of a test, such as `als-against-knn:challenger`."""
    return f"{name}:{arm}"


def fallback_label(name: str, arm: str) -> str:
    """What they call a list that was meant for the arm, and made by the serving model."""
    return f"{name}:{arm}:{FALLBACK}"
