"""Tests of models.shared."""
