"""Tests of recsys.diagnosis."""
