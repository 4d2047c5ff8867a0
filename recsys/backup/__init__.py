"""Backups of a shop: its database, its files below `var/`, and what only Redis has."""
