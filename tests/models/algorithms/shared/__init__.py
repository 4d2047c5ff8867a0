"""Tests of models.algorithms.shared."""
