"""Tests of models.algorithms.linear."""
