"""Tests of training.online."""
