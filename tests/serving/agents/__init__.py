"""Tests of serving.agents."""
