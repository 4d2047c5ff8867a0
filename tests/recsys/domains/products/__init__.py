"""Tests of the products domain."""
