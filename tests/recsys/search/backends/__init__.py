"""Tests of recsys.search.backends."""
