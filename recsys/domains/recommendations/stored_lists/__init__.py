"""Generations of stored lists in PostgreSQL and Redis."""
