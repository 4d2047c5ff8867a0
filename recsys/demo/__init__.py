"""`recsys demo`: from an empty folder to served recommendations, each stage a measured process."""

from __future__ import annotations

from recsys.demo.run import run

__all__ = ["run"]
