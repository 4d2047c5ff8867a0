"""Frames into the tables of the domains."""
