"""Tests of recsys.search.synonyms."""
