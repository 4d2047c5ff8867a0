"""Tests of models.ranking.mips."""
