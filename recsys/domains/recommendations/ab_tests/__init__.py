"""Tests of a challenger against the model that serves."""
