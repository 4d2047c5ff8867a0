"""Shops of any size with known tastes, as files or straight into PostgreSQL."""
