"""Tests of models.algorithms.neighbourhood."""
