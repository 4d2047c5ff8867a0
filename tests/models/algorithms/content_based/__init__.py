"""Tests of models.algorithms.content_based."""
