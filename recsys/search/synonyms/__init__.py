"""Synonyms of the shop: tables, rules and routes."""
