"""Tests of the tables, the migrations and the session, on real PostgreSQL."""
