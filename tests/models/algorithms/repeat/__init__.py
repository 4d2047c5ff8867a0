"""Tests of models.algorithms.repeat."""
