"""Tests of recsys.simulation."""
