"""Tests of off-policy evaluation."""
