"""People of a segment."""

from __future__ import annotations

REFUSING, INACTIVE = 5, 29
"""User 29 of the shop is inactive; user 5 refuses personalisation in these tests."""
