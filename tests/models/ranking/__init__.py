"""Tests of models.ranking."""
