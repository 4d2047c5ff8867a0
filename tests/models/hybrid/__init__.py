"""Tests of models/hybrid."""
