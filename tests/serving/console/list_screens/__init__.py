"""Tests of the screens about people, products and lists."""
