"""Tests of recsys.search.analysis."""
