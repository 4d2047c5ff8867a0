"""The screens about people, products and lists."""

from __future__ import annotations

from fastapi import APIRouter

from serving.console.screens import people, why

__all__ = ["LIST_SCREENS"]

LIST_SCREENS: tuple[APIRouter, ...] = (people.router, why.router)
