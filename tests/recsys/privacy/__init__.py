"""Tests of recsys/privacy."""
