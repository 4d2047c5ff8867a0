"""Tests of models.algorithms.factorization."""
