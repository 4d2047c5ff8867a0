"""PostgreSQL: declarative base, units of work and migrations."""
