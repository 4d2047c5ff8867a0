"""The choice between the light and the dark look, kept in a cookie."""

from __future__ import annotations

from typing import Literal

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from serving.pages.forms import LocalPath, SubmittedForm, redirect, set_page_cookie, submitted
from serving.pages.templating import THEME_COOKIE

__all__ = ["ThemeChoice", "choose_theme"]

_YEAR_SECONDS = 365 * 86_400


class ThemeChoice(BaseModel):
    """The look that a visitor chose.

    Attributes
    ----------
    back
        The page to return to.
    """

    theme: Literal["auto", "light", "dark"]
    back: LocalPath = "/"


async def choose_theme(request: Request, form: SubmittedForm = Depends(submitted)) -> Response:
    """Keep the look that the form names; a route of each package of pages."""
    choice = form.model(ThemeChoice)
    response = redirect(choice.back)
    set_page_cookie(response, THEME_COOKIE, choice.theme, seconds=_YEAR_SECONDS)
    return response
