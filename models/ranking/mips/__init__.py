"""Exact maximum inner product search over item vectors."""
