"""Tests of recsys/spark."""
