"""Accepted writes that wait in Redis or files for PostgreSQL."""
