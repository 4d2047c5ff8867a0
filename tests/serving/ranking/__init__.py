"""Tests of serving.ranking."""
