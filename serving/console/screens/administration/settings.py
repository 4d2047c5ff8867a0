"""Settings: what is in effect, and where each value came from."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel

from recsys.settings.effective import effective_settings
from serving.console.access import Operator
from serving.console.rendering import TEMPLATES, screen_router

__all__ = ["SettingsContent", "router"]

router = screen_router("settings")


class SettingRow(BaseModel):
    """One setting; value and default are None where it is unset."""

    variable: str
    value: str | None
    default: str | None
    origin: str
    changed: bool
    effect: str


class SettingGroupRows(BaseModel):
    """The settings of one part."""

    title: str
    summary: str
    settings: list[SettingRow]


class SettingsContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    changed_only
        Only those that are not the default.
    """

    changed_only: bool
    query: str
    groups: list[SettingGroupRows]
    changed: int
    total: int


@router.get("")
def settings(
    request: Request,
    user: Operator,
    q: Annotated[str, Query(max_length=100)] = "",
    changed: bool = False,
) -> Response:
    """All settings, those with a word in name or effect, or those that were changed."""
    groups, total, count = [], 0, 0
    for section in effective_settings():
        rows = [
            SettingRow(
                variable=each.variable,
                value=each.value,
                default=each.default,
                origin=each.origin,
                changed=each.origin != "default",
                effect=each.effect,
            )
            for each in section.settings
        ]
        total, count = total + len(rows), count + sum(row.changed for row in rows)
        words = q.lower()
        kept = [
            row
            for row in rows
            if (row.changed or not changed) and (words in row.variable.lower() or words in row.effect.lower())
        ]
        if kept:
            groups.append(SettingGroupRows(title=section.title, summary=section.summary, settings=kept))
    content = SettingsContent(changed_only=changed, query=q, groups=groups, changed=count, total=total)
    return TEMPLATES.page(request, "console/settings.html.j2", content)
