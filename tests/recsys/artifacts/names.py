"""The name of an artifact."""

from __future__ import annotations

NAME = "models/als-v1"
