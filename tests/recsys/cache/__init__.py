"""Tests of recsys/cache."""
