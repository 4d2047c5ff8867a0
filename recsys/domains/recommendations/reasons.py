"""Reasons of recommendations: each is taken from the evidence of the model."""

from __future__ import annotations

from enum import IntEnum
from typing import TypedDict

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_TEXT", "Kind", "Reason", "ReasonCode", "evidence_reasons", "phrase", "reason", "reason_text"]

MAX_TEXT = 100
"""`product_recommendations.reason` holds no more."""


class Kind(IntEnum):
    """What put the product into the list; the words of `product_recommendations.recommendation_type`."""

    COLLABORATIVE = 0
    CONTENT_BASED = 1
    POPULAR = 2
    SIMILAR = 3

    @property
    def word(self) -> str:
        """The name in lower case, as responses and the database have it."""
        return self.name.lower()


class ReasonCode(IntEnum):
    """The reasons, in the order of their stored codes: only ever add at the end (at most 16)."""

    POPULAR = 0
    BECAUSE_BOUGHT = 1
    BECAUSE_VIEWED = 2
    BOUGHT_BEFORE = 3
    VIEWED_BEFORE = 4
    SIMILAR_TO = 5
    CHOSEN = 6
    TRENDING = 7
    NEW_ARRIVAL = 8
    BOUGHT_TOGETHER = 9
    CHOSEN_CATEGORY = 10
    PICKED = 11

    @property
    def word(self) -> str:
        """The name in lower case, as responses and the database have it."""
        return self.name.lower()


class Reason(TypedDict):
    """A reason as an answer shows it."""

    code: str
    text: str
    product_ids: list[int]


_WITH_NAME = {
    ReasonCode.BECAUSE_BOUGHT: "Because you bought ",
    ReasonCode.BECAUSE_VIEWED: "Because you looked at ",
    ReasonCode.SIMILAR_TO: "Similar to ",
    ReasonCode.BOUGHT_TOGETHER: "Bought together with ",
}
_WITHOUT_NAME = {
    ReasonCode.POPULAR: "Popular right now",
    ReasonCode.BECAUSE_BOUGHT: "Because of what you bought",
    ReasonCode.BECAUSE_VIEWED: "Because of what you looked at",
    ReasonCode.BOUGHT_BEFORE: "You bought it before",
    ReasonCode.VIEWED_BEFORE: "You looked at it before",
    ReasonCode.SIMILAR_TO: "Similar to what you looked at",
    ReasonCode.CHOSEN: "Chosen for you",
    ReasonCode.TRENDING: "More and more people choose it",
    ReasonCode.NEW_ARRIVAL: "New in the shop",
    ReasonCode.BOUGHT_TOGETHER: "Bought together with what you look at",
    ReasonCode.CHOSEN_CATEGORY: "In a category you chose",
    ReasonCode.PICKED: "Picked by the shop",
}


def evidence_reasons(
    products: npt.NDArray[np.int64],
    evidence: npt.NDArray[np.int64],
    evidence_was_bought: npt.NDArray[np.bool_],
    kind: Kind,
) -> npt.NDArray[np.int64]:
    """The reason of each product, by the product that speaks most for it in the user's history.

    All arrays are of one shape.

    Parameters
    ----------
    products : int64
        Ids of products.
    evidence : int64
        The product that speaks most for each; -1: none.
    evidence_was_bought : bool
        Whether the user bought that product.
    kind
        The type of the recommendations.

    Returns
    -------
    int64
        Codes of `ReasonCode`, of the shape of `products`.
    """
    nothing = ReasonCode.POPULAR if kind is Kind.POPULAR else ReasonCode.CHOSEN
    itself = np.where(evidence_was_bought, ReasonCode.BOUGHT_BEFORE, ReasonCode.VIEWED_BEFORE)
    another = np.where(evidence_was_bought, ReasonCode.BECAUSE_BOUGHT, ReasonCode.BECAUSE_VIEWED)
    found = np.where(evidence == products, itself, another)
    return np.where(evidence < 0, int(nothing), found).astype(np.int64)


KIND_WORDS = tuple(kind.word for kind in Kind)
CODE_WORDS = tuple(code.word for code in ReasonCode)
"""The same words by stored code: looking them up is on the hot path."""


def phrase(code: ReasonCode, *, named: bool) -> str | None:
    """The words of a reason: those a product's name follows (None: none does), or those without a name."""
    return _WITH_NAME.get(code) if named else _WITHOUT_NAME[code]


def reason_text(code: ReasonCode, evidence_name: str | None) -> str:
    """At most 100 characters; a name that is too long is cut, the name of a deleted product left out."""
    start = _WITH_NAME.get(code)
    if start is None or evidence_name is None:
        return _WITHOUT_NAME[code]
    full = start + evidence_name
    return full if len(full) <= MAX_TEXT else full[: MAX_TEXT - 1].rstrip() + "…"


def reason(code: ReasonCode, evidence: int, evidence_name: str | None) -> Reason:
    """The reason as an answer shows it; `product_ids` names the products it speaks of."""
    named = evidence > 0 and evidence_name is not None
    return {
        "code": CODE_WORDS[code],
        "text": reason_text(code, evidence_name),
        "product_ids": [evidence] if named else [],
    }
