"""Promises of every route of the whole application."""
