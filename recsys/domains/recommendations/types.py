"""The words of interactions, in the order of their stored codes, and those of feedback."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["INTERACTION_TYPES", "FeedbackType", "InteractionType"]


class InteractionType(StrEnum):
    """What a user did with a product (`user_interactions.interaction_type`).

    A dismissal whose value is below zero takes dismissals back.
    """

    VIEW = "view"
    LIKE = "like"
    ADD_TO_CART = "add_to_cart"
    PURCHASE = "purchase"
    REVIEW = "review"
    DISMISSED = "dismissed"


class FeedbackType(StrEnum):
    """What a user did with a recommendation (`recommendation_feedback.feedback_type`)."""

    SHOWN = "shown"
    CLICKED = "clicked"
    CARTED = "carted"
    PURCHASED = "purchased"
    RATED = "rated"
    DISMISSED = "dismissed"
    RESTORED = "restored"


INTERACTION_TYPES: tuple[str, ...] = tuple(kind.value for kind in InteractionType)
