"""Tests of recsys.client."""
