"""The screens about people, products and lists."""

from __future__ import annotations

from fastapi import APIRouter

from serving.console.screens import people, rules, studio, why

__all__ = ["LIST_SCREENS"]

LIST_SCREENS: tuple[APIRouter, ...] = (
    people.router,
    why.router,
    studio.router,
    rules.router,
)
