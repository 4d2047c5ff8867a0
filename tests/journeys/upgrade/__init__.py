"""Journeys of a shop that is upgraded while it serves."""
