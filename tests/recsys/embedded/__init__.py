"""Tests of recsys/embedded."""
