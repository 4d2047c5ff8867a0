"""Tests of serving.recommender."""
