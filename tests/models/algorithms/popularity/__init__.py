"""Tests of models.algorithms.popularity."""
