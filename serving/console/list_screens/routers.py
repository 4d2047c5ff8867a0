"""The routers of the screens about people, products and lists."""

from __future__ import annotations

from fastapi import APIRouter

from serving.console.list_screens import (
    data,
    people,
    products,
    rules,
    search,
    segments,
    studio,
    suggestions,
    why,
)

__all__ = ["LIST_SCREENS"]

LIST_SCREENS: tuple[APIRouter, ...] = (
    people.router,
    segments.router,
    why.router,
    studio.router,
    rules.router,
    products.router,
    search.router,
    data.router,
    suggestions.router,
)
