"""Segments: which users a campaign should address, and about what."""
