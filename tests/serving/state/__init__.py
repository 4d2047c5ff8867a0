"""Tests of serving.state."""
