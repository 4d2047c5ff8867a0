"""The changes of a draft of the placement studio: as the address has them, in words, and as rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.errors import Invalid
from serving.catalogue.catalogue import Catalogue
from serving.console.list_screens.naming import checked
from serving.recommender.request import Placement

__all__ = ["factors_of", "matched", "of_audience", "rule_of", "text_of", "without_product"]

_CHANGE = re.compile(
    r"hide:(?P<hide>\d{1,9})|pin:(?P<pin>\d{1,9}):(?P<position>\d{1,3})"
    r"|factor:(?P<factored>\d{1,9}):(?P<factor>\d{1,2}(\.\d{1,2})?)|cap:(?P<cap>category|brand):(?P<most>\d{1,3})"
)


def matched(change: str) -> re.Match[str]:
    """Return the parts of a change. Raises Invalid for a text that is none."""
    match = _CHANGE.fullmatch(change)
    if match is None:
        raise Invalid(f"“{change[:40]}” is no change of a list; expected such as hide:12 or pin:12:1.")
    return match


def factors_of(changes: Sequence[str]) -> list[re.Match[str]]:
    """Return the changes of scores among these."""
    return [match for match in map(matched, changes) if match["factored"]]


def without_product(changes: Sequence[str], product: int) -> list[str]:
    """Return the changes that are not about this product."""
    return [change for change in changes if change.split(":")[1] != str(product)]


def text_of(change: str, catalogue: Catalogue) -> str:
    """Return a change in words."""
    match = matched(change)
    if match["cap"]:
        return f"At most {match['most']} of each {match['cap']} on a page"
    number = int(match["hide"] or match["pin"] or match["factored"])
    name = catalogue.name(number) or f"product {number}"
    if match["hide"]:
        return f"Hide {name}"
    if match["pin"]:
        return f"Pin {name} to position {match['position']}"
    verb = "Boost" if float(match["factor"]) > 1 else "Bury"
    return f"{verb} {name}: score × {float(match['factor']):g}"


def rule_of(
    change: str,
    placement: Placement,
    catalogue: Catalogue,
    name: str,
    starts: datetime | None,
    ends: datetime | None,
    everywhere: bool,
) -> RuleIn:
    """Return the rule of a change. Raises Invalid for a change that can be none."""
    match = matched(change)
    values: dict[str, object] = {
        "name": f"{name}: {text_of(change, catalogue)}"[:200],
        "shelves": None if everywhere else [placement.value],
        "starts_at": starts,
        "ends_at": ends,
    }
    if match["cap"]:
        values |= {"kind": "cap", "cap_by": match["cap"], "most": int(match["most"]), "strict": False}
    else:
        values["target"] = {"product_ids": [int(match["hide"] or match["pin"] or match["factored"])]}
        if match["hide"]:
            values["kind"] = "hide"
        elif match["pin"]:
            values |= {"kind": "pin", "position": int(match["position"])}
        else:
            factor = float(match["factor"])
            if factor == 1.0:
                raise Invalid("A factor of 1 changes nothing; move the slider, or remove the change.")
            values |= {"kind": "boost" if factor > 1 else "bury", "factor": factor}
    return checked(RuleIn, values)


def of_audience(rule: RuleIn, audience: str) -> RuleIn:
    """Return the rule for a segment; an empty one stands for everybody."""
    return rule.model_copy(update={"segment": audience or None})
