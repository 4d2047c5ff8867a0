"""Repeat consumption and next baskets."""
