"""Tests of recsys.search.backends.elasticsearch."""
