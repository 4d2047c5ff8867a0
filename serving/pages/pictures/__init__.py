"""Drawn pictures of products."""
