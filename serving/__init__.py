"""Serving: from a registered model to HTTP responses."""
