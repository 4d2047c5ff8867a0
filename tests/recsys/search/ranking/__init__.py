"""Tests of recsys.search.ranking."""
